import os, struct, sys, zlib

def deflater(level):
    return zlib.compressobj(level, zlib.DEFLATED, -15, 8)

def gzip(source, target, level, time, flags, system, name):
    unpack, pack = zlib.decompressobj(31), deflater(level)
    head = struct.pack("<4BL2B", 31, 139, 8, 8 if name else 0, time, flags, system)
    target.write(head + (os.fsencode(name) + b"\0" if name else b""))
    crc = size = 0
    while block := source.read(1 << 16):
        block = unpack.decompress(block)
        crc, size = zlib.crc32(block, crc), size + len(block)
        target.write(pack.compress(block))
    if not unpack.eof or unpack.unused_data:
        sys.exit("the output is not one gzip stream")
    target.write(pack.flush() + struct.pack("<2L", crc, size & 0xFFFFFFFF))

def zip(source, target, level):
    data = bytearray(source.read())
    end = data.rfind(b"PK\5\6")
    count, start = struct.unpack_from("<H4xL", data, end + 10)
    entries, at = [], start
    for _ in range(count):
        method, = struct.unpack_from("<H", data, at + 10)
        packed, size = struct.unpack_from("<2L", data, at + 20)
        names, offset = struct.unpack_from("<3H", data, at + 28), struct.unpack_from("<L", data, at + 42)[0]
        if 0xFFFFFFFF in (packed, size, offset):
            sys.exit("the output is a zip64")
        entries.append((offset, at, method, packed))
        at += 46 + sum(names)
    done, moved = 0, 0
    for offset, entry, method, packed in sorted(entries):
        struct.pack_into("<L", data, entry + 42, offset + moved)
        if method != 8:
            continue
        bits, = struct.unpack_from("<H", data, offset + 6)
        body = offset + 30 + sum(struct.unpack_from("<2H", data, offset + 26))
        pack = deflater(level)
        fresh = pack.compress(zlib.decompress(data[body:body + packed], -15)) + pack.flush()
        place = offset + 18
        if bits & 8:
            after = body + packed
            place = after + (8 if data[after:after + 4] == b"PK\7\10" else 4)
        for field in (place, entry + 20):
            struct.pack_into("<L", data, field, len(fresh))
        target.write(data[done:body] + fresh)
        done, moved = body + packed, moved + len(fresh) - packed
    struct.pack_into("<L", data, end + 16, start + moved)
    target.write(data[done:])

def main(container, source, target, levels, *header):
    for level in levels.split(","):
        path = target.replace("{level}", level)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(source, "rb") as old, open(path + ".part", "wb") as new:
            if container == "gzip":
                gzip(old, new, int(level), *map(int, header[:3]), header[3])
            else:
                zip(old, new, int(level))
        os.replace(path + ".part", path)

main(*sys.argv[1:])
