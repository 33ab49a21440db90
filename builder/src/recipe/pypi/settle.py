import os, tarfile, time

moment = int(os.environ["SOURCE_DATE_EPOCH"])
look = tarfile.TarFile.gettarinfo

def settled(self, *args, **kwargs):
    member = look(self, *args, **kwargs)
    member.mtime = min(int(member.mtime), moment)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member

time.time = lambda: float(moment)
tarfile.TarFile.gettarinfo = settled
