import copy, gzip, json, tarfile, time, zipfile

with open("/tmp/recorded", encoding="utf-8") as file:
    recorded = {name: rest for name, *rest in map(json.loads, file)}
add, enter, begin = tarfile.TarFile.addfile, zipfile.ZipFile.open, gzip.GzipFile.__init__
head = tarfile._Stream._init_write_gz

def recorded_member(self, member, *rest):
    if member.name in recorded:
        time, *owners = recorded[member.name]
        member = copy.copy(member)
        member.mtime = float(time) if "." in time else int(time)
        member.uid, member.gid, member.uname, member.gname = owners[0] if owners else (0, 0, "", "")
    return add(self, member, *rest)

def recorded_entry(self, name, mode="r", *rest, **more):
    if mode == "w" and getattr(name, "filename", None) in recorded:
        name.date_time = tuple(recorded[name.filename][0])
    return enter(self, name, mode, *rest, **more)

def recorded_stream(self, filename=None, mode=None, compresslevel=9, fileobj=None, mtime=None):
    packed = recorded.get(None, ["0"])[0]
    begin(self, filename, mode, compresslevel, fileobj, int(packed))

# setuptools writes its sdists through tarfile's own stream, which asks the clock
def recorded_head(self, *rest):
    clock, time.time = time.time, lambda: float(recorded.get(None, ["0"])[0])
    try:
        return head(self, *rest)
    finally:
        time.time = clock

tarfile._Stream._init_write_gz = recorded_head
tarfile.TarFile.addfile = recorded_member
zipfile.ZipFile.open = recorded_entry
gzip.GzipFile.__init__ = recorded_stream
