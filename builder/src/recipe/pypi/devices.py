import tarfile

make, extend = tarfile.TarInfo._create_header, tarfile.TarInfo.create_pax_header
NONE = b"0000000\0" * 2

def with_numbers(info, *rest):
    header = bytearray(make(info, *rest))
    if info.get("type") not in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        header[329:345] = NONE
        header[148:155] = b"%06o\0" % tarfile.calc_chksums(bytes(header))[0]
    return bytes(header)

# a time with a fraction stands in the extended header alone
def without_rounding(self, info, *rest):
    time = info["mtime"]
    if isinstance(time, float):
        self.pax_headers = {**self.pax_headers, "mtime": str(time)}
        info = {**info, "mtime": 0}
    return extend(self, info, *rest)

tarfile.TarInfo._create_header = staticmethod(with_numbers)
tarfile.TarInfo.create_pax_header = without_rounding
