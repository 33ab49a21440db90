# Packs files into an archive with nothing of this machine in it: python3 pack.py OUT SECONDS UMASK (NAME PATH)...
# An empty PATH is a folder. The members come in the order of the arguments.
import gzip, os, sys, tarfile, time, zipfile

out, seconds, umask, *rest = sys.argv[1:]
seconds, umask = int(seconds), int(umask, 8)
members = [(name, path, (0o777 if not path or os.access(path, os.X_OK) else 0o666) & ~umask)
           for name, path in zip(rest[::2], rest[1::2])]
os.makedirs(os.path.dirname(out), exist_ok=True)
if out.endswith(".zip"):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path, mode in members:
            info = zipfile.ZipInfo(name if path else name + "/", time.gmtime(max(seconds, 315532800))[:6])
            info.compress_type = zipfile.ZIP_DEFLATED if path else zipfile.ZIP_STORED
            info.external_attr = (mode | (0o100000 if path else 0o040000)) << 16 | (0 if path else 0x10)
            archive.writestr(info, open(path, "rb").read() if path else b"")
else:
    with open(out, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name, path, mode in members:
                info = tarfile.TarInfo(name)
                info.mtime, info.mode = seconds, mode
                info.type, info.size = (tarfile.REGTYPE, os.path.getsize(path)) if path else (tarfile.DIRTYPE, 0)
                archive.addfile(info, open(path, "rb") if path else None)
