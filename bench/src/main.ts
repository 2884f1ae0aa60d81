/** `npm run bench -- NAME [--json]`: prints a table, and with `--json` one line last. Exits 0 whether targets are met or not. */
import { cpus } from 'node:os'
import { BENCHES } from './benches.ts'

const [name, ...flags] = process.argv.slice(2)
const bench = name === undefined ? undefined : BENCHES.get(name)
if (!bench) {
  console.error(`no bench ${name ?? ''}; there are: ${[...BENCHES.keys()].join(', ')}`)
  process.exit(2)
}
const figures = (await bench.run()).map((figure) => ({ ...figure, met: figure.target === null ? null : figure.met }))
console.table(figures.map(({ name: label, value, unit, target, met }) => ({ figure: label, value, unit, target, met })))
if (flags.includes('--json')) {
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, platform: process.platform }
  console.log(
    JSON.stringify({ bench: name, machine, versions: { node: process.versions.node, ...bench.versions }, figures }),
  )
}
process.exit(0)
