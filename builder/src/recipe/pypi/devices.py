import tarfile

make = tarfile.TarInfo._create_header
NONE = b"0000000\0" * 2

def with_numbers(info, *rest):
    header = bytearray(make(info, *rest))
    if info.get("type") not in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        header[329:345] = NONE
        header[148:155] = b"%06o\0" % tarfile.calc_chksums(bytes(header))[0]
    return bytes(header)

tarfile.TarInfo._create_header = staticmethod(with_numbers)
