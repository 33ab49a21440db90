import os, site, sys

for folder in ("tools", "more"):
    folder = os.path.join(os.environ["HOME"], folder)
    site.addsitedir(folder)
    os.environ["PATH"] = os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"]

from flit import main

main(["build", "--format", "sdist"])
