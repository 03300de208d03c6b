// A worker of the thumbnail benchmark; its lines are those of python.py.
import { createInterface } from 'node:readline';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const sharp = createRequire(`${process.argv[2]}/package.json`)('sharp');
sharp.cache(false);
sharp.concurrency(1);

const thumbnail = (source, edge) =>
  sharp(source, { limitInputPixels: false })
    .autoOrient()
    .resize(edge, edge, { fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 80 })
    .toBuffer();
const nanoseconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};
const memory = (name) =>
  Number(readFileSync('/proc/self/status', 'utf8').match(new RegExp(`${name}:\\s+(\\d+)`))[1]);

console.log(`sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}`);
for await (const line of createInterface({ input: process.stdin })) {
  const [path, edge, repetitions, out] = line.split('\t');
  const before = memory('VmRSS');
  const source = readFileSync(path);
  const spent = [];
  let made;
  for (let repetition = 0; repetition < Number(repetitions); repetition++) {
    const began = nanoseconds();
    made = await thumbnail(source, Number(edge));
    spent.push(nanoseconds() - began);
  }
  if (out !== '-') writeFileSync(out, made);
  console.log(`${spent.join(' ')} | ${before} ${memory('VmHWM')}`);
}
