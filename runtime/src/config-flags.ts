// Typing slips rarely exceed three letters; beyond that a hint would mislead.
const HINT_DISTANCE = 3

/** One flag that a service knows. */
export interface Flag {
  readonly key: string
  /** May stand without a value, which means true. */
  readonly isSwitch: boolean
}

/** What the command line says, and what is wrong with it. Faults name flags and places, never values. */
export interface ReadFlags {
  readonly values: ReadonlyMap<string, string>
  readonly faults: string[]
}

/** Writes an option's key as a flag. */
export function flagOf(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** Reads `--name value` and `--name=value`. A value that begins with `--` needs the second form. */
export function readFlags(flags: ReadonlyMap<string, Flag>, argv: readonly string[]): ReadFlags {
  const values = new Map<string, string>()
  const faults: string[] = []
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? ''
    // A stray word may be half of a secret, so its place is told and not its text.
    if (!argument.startsWith('--')) {
      faults.push(`argument ${index + 1}: belongs to no flag`)
      continue
    }
    const equals = argument.indexOf('=')
    const name = equals < 0 ? argument : argument.slice(0, equals)
    const next = argv[index + 1]
    const hasNext = equals < 0 && next !== undefined && !next.startsWith('--')
    const flag = flags.get(name)
    const value = equals >= 0 ? argument.slice(equals + 1) : hasNext ? next : flag?.isSwitch ? 'true' : undefined
    if (flag === undefined) faults.push(`${name}: no such option${hint(name, [...flags.keys()])}`)
    else if (value === undefined) faults.push(`${name}: needs a value`)
    else values.set(flag.key, value)
    // What follows an unknown flag is its value, not another fault.
    if (hasNext) index += 1
  }
  return { values, faults }
}

function hint(name: string, known: readonly string[]): string {
  const distances = known.map((candidate) => [editDistance(name, candidate), candidate] as const)
  const nearest = distances.toSorted((a, b) => a[0] - b[0])[0]
  return nearest && nearest[0] <= HINT_DISTANCE ? `; did you mean ${nearest[1]}?` : ''
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
