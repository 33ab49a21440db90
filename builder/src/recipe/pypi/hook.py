import importlib, os, shutil, site, sys, tarfile, tempfile

def main(action, kind, spec, target, sdists, *search):
    for folder in ("tools", "more"):
        folder = os.path.join(os.environ["HOME"], folder)
        site.addsitedir(folder)
        os.environ["PATH"] = os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"]
    target = os.path.abspath(target)
    if sdists:
        (name,) = os.listdir(sdists)
        with tarfile.open(os.path.join(sdists, name)) as sdist:
            top = sdist.getnames()[0].split("/")[0]
            sdist.extractall(os.environ["HOME"])
        os.chdir(os.path.join(os.environ["HOME"], top))
    sys.path[:0] = [os.path.abspath(folder) for folder in search]
    module, _, path = spec.partition(":")
    backend = importlib.import_module(module)
    for name in filter(None, path.split(".")):
        backend = getattr(backend, name)
    if action == "requires":
        hook = getattr(backend, "get_requires_for_build_" + kind, list)
        with open(target, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in hook())
        return
    with tempfile.TemporaryDirectory() as folder:
        name = getattr(backend, "build_" + kind)(folder)
        os.makedirs(target, exist_ok=True)
        shutil.copyfile(os.path.join(folder, name), os.path.join(target, name))

main(*sys.argv[1:])
