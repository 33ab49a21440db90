const fs = require('fs'), path = require('path'), stream = require('stream'), zlib = require('zlib');

const [container, source, target, levels, time, flags, system, name] = process.argv.slice(1);
if (container !== 'gzip') throw new Error('only gzip is encoded anew by node');
const head = Buffer.concat([
  Buffer.from([31, 139, 8, name ? 8 : 0, 0, 0, 0, 0, +flags, +system]),
  Buffer.from(name ? name + '\0' : ''),
]);
head.writeUInt32LE(+time, 4);
// what stands after the deflate stream does not change: sum and length of the same payload
const tail = Buffer.alloc(8), whole = fs.openSync(source, 'r');
fs.readSync(whole, tail, 0, 8, fs.fstatSync(whole).size - 8);

const encode = (level, place) => new Promise((resolve, reject) => {
  const file = fs.openSync(place + '.part', 'w');
  fs.writeSync(file, head);
  stream.pipeline(
    fs.createReadStream(source), zlib.createGunzip(), zlib.createDeflateRaw({ level }),
    fs.createWriteStream(null, { fd: file, autoClose: false }),
    (error) => {
      if (error) return reject(error);
      fs.writeSync(file, tail);
      fs.closeSync(file);
      fs.renameSync(place + '.part', place);
      resolve();
    });
});

(async () => {
  for (const level of levels.split(',')) {
    const place = target.replace('{level}', level);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    await encode(+level, place);
  }
})().catch((error) => { console.error(error); process.exit(1); });
