// Runs one command of an npm build. Written for every node since version 6.
//   node -e THIS -- fetch FOLDER URL...        unpacks tarballs of tools, and links their programs
//   node -e THIS -- install LOCK CWD COMMAND   runs it while LOCK names tarballs at the mirror
//   node -e THIS -- run CWD COMMAND            runs it with those programs first in PATH
//   node -e THIS -- version FOLDER VERSION     writes it into the package.json and changes nothing else there
'use strict';
var fs = require('fs'), path = require('path'), child = require('child_process');
var TOOLS = '/build/home/tools', BIN = TOOLS + '/bin', REGISTRY = 'http://mirror/npm/';
var args = process.argv.slice(1), action = args.shift();

function fail(what) {
  console.error('countersign: ' + what);
  process.exit(1);
}

function command(cwd, argv) {
  process.env.PATH = BIN + ':' + process.env.PATH;
  var ended = child.spawnSync(argv[0], argv.slice(1), { cwd: path.resolve(cwd), stdio: 'inherit' });
  if (ended.error) console.error('countersign: starting ' + argv[0] + ': ' + ended.error.message);
  return ended.error || ended.status === null ? 126 : ended.status;
}

function fetch(url, folder, done) {
  require('http').get(url, function (answer) {
    if (answer.statusCode !== 200) fail(url + ' answers ' + answer.statusCode);
    var tar = child.spawn('tar', ['-x', '-C', folder, '--strip-components=1', '--no-same-owner'],
      { stdio: ['pipe', 'inherit', 'inherit'] });
    tar.on('close', function (code) { code === 0 ? done() : fail('unpacking ' + url); });
    answer.pipe(require('zlib').createGunzip()).pipe(tar.stdin);
  }).on('error', function (error) { fail(url + ': ' + error.message); });
}

// a program that is a script is started by whichever node is first in PATH
function link(folder) {
  var manifest = JSON.parse(fs.readFileSync(folder + '/package.json', 'utf8'));
  var bin = manifest.bin || {};
  if (typeof bin === 'string') {
    var only = bin;
    bin = {};
    bin[manifest.name.split('/').pop()] = only;
  }
  if (fs.existsSync(folder + '/bin/node')) bin.node = 'bin/node';
  Object.keys(bin).forEach(function (name) {
    var file = path.resolve(folder, bin[name]);
    fs.chmodSync(file, 493);
    fs.symlinkSync(file, BIN + '/' + path.basename(name));
  });
}

function tools(urls, at) {
  if (at === urls.length) return;
  var folder = TOOLS + '/' + at;
  fs.mkdirSync(folder);
  fetch(urls[at], folder, function () {
    link(folder);
    tools(urls, at + 1);
  });
}

if (action === 'fetch') {
  fs.mkdirSync(TOOLS);
  fs.mkdirSync(BIN);
  tools(args, 0);
} else if (action === 'install') {
  var lock = args.shift(), before = fs.readFileSync(lock, 'utf8');
  // HOST/…/NAME/-/FILE.tgz is the form of every registry; what a lock file says of the content stays
  var tarball = /https?:\/\/[^\s"'#?]+?\/((?:@[^\s"'#?\/]+(?:\/|%2[fF]))?[^\s"'#?\/]+\/-\/[^\s"'#?\/]+\.tgz)/g;
  fs.writeFileSync(lock, before.replace(tarball, REGISTRY + '$1'));
  var status = command(args.shift(), args);
  fs.writeFileSync(lock, before);
  process.exit(status);
} else if (action === 'run') {
  process.exit(command(args.shift(), args));
} else if (action === 'version') {
  var manifest = args.shift() + '/package.json', text = fs.readFileSync(manifest, 'utf8');
  var set = function (all, before) { return before + args[0]; };
  fs.writeFileSync(manifest, text.replace(/("version"\s*:\s*")[^"]*/, set));
} else {
  fail('no such action: ' + action);
}
