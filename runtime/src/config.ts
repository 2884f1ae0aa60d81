import { readFileSync } from 'node:fs'
import type { Static, TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { flagOf, readFlags, type ReadFlags } from './config-flags.ts'
import { defineErrors } from './errors.ts'

/** One option of a room. The environment variable is its canonical name; `LOCKSTEP_X_FILE` reads the value from a file. */
export interface ConfigOption {
  readonly env: `LOCKSTEP_${string}`
  readonly type: TSchema
  /** Absent: the option is required. */
  readonly default?: unknown
  readonly unit?: string
  /** One sentence. */
  readonly desc: string
  /** Never shown. */
  readonly secret?: boolean
}

/** A room's options by camelCase key; the flag is the key in kebab case. */
export type ConfigTable = Readonly<Record<string, ConfigOption>>

/** The values of a table, frozen. */
export type ConfigOf<Table extends ConfigTable> = { readonly [Key in keyof Table]: Static<Table[Key]['type']> }

/** Where values come from. */
export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Flags: `--slot-name value` or `--slot-name=value`. */
  readonly argv?: readonly string[] | undefined
}

/** One line of `--print-config`. */
export interface ConfigLine {
  readonly key: string
  readonly env: string
  readonly flag: string
  /** Masked where secret; passwords in URLs are always masked. */
  readonly value: string
  readonly origin: 'default' | 'env' | 'file' | 'flag' | 'missing'
  readonly unit: string
  readonly desc: string
}

/** Everything that keeps a service from starting: code → disposition, message, what to do. */
export const CONFIG_ERRORS = {
  LOCKSTEP_CFG_INVALID: {
    disposition: 'config',
    message: 'the configuration has faults:\n{faults}\n',
    remedy: 'Mend every line above; --help lists all options, --print-config what is in effect.',
  },
  LOCKSTEP_CFG_PORT_IN_USE: {
    disposition: 'config',
    message: 'port {port} is in use',
    remedy: 'Stop the process that listens there or choose another port with {option}.',
  },
  LOCKSTEP_CFG_NODE_VERSION: {
    disposition: 'config',
    message: 'Node {found} is too old, 24 is needed',
    remedy: 'Start through `npm run …` or `npx lockstep`, which use the Node that the project installs.',
  },
} as const

const fail = defineErrors('runtime', CONFIG_ERRORS)

/** The words of a JSON schema that explain a fault. */
interface SchemaWords {
  readonly type?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly pattern?: string
  readonly minLength?: number
  readonly items?: TSchema
  readonly anyOf?: readonly { readonly const?: string | number; readonly type?: string }[]
}

/** The JSON type of a schema; TypeBox hides it behind a union of all schema forms. */
function kindOf(type: TSchema | undefined): string | undefined {
  return (type as { type?: string } | undefined)?.type
}

type Raw = { readonly text: string; readonly origin: ConfigLine['origin'] } | { readonly fault: string } | null

function flagsOf(table: ConfigTable, argv: readonly string[] = []): ReadFlags {
  const known = Object.entries(table).map(
    ([key, { type }]) => [flagOf(key), { key, isSwitch: kindOf(type) === 'boolean' }] as const,
  )
  return readFlags(new Map(known), argv)
}

function rawValue(option: ConfigOption, flag: string | undefined, env: ConfigSources['env']): Raw {
  if (flag !== undefined) return { text: flag, origin: 'flag' }
  const text = env[option.env]
  const path = env[`${option.env}_FILE`]
  if (text !== undefined && path !== undefined)
    return { fault: `${option.env}: is set together with ${option.env}_FILE; unset one` }
  if (text !== undefined) return { text, origin: 'env' }
  if (path === undefined) return null
  try {
    return { text: readFileSync(path, 'utf8').trimEnd(), origin: 'file' }
  } catch {
    return { fault: `${option.env}_FILE: cannot be read` }
  }
}

function convert(option: ConfigOption, text: string): unknown {
  const kind = kindOf(option.type)
  if (kind === 'integer' || kind === 'number') return text.trim() === '' ? Number.NaN : Number(text)
  if (kind === 'boolean')
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text
  if (kind === 'array') return text === '' ? [] : text.split(',').map((item) => item.trim())
  return text
}

/** What a value must be, in the words of its schema; the value itself is never shown. */
function expectation(type: TSchema): string {
  const { type: kind = 'value', minimum, maximum, pattern, minLength, anyOf, items } = type as SchemaWords
  if (items) return `must be a list separated by commas, each ${expectation(items).replace(/^must be /, '')}`
  if (anyOf) return `must be one of ${anyOf.map((branch) => branch.const ?? branch.type ?? '?').join(', ')}`
  const bounds = [
    minimum === undefined ? '' : ` >= ${minimum}`,
    maximum === undefined ? '' : ` <= ${maximum}`,
    pattern === undefined ? '' : ` matching ${pattern}`,
    minLength === undefined ? '' : ` of at least ${minLength} characters`,
  ]
  return `must be ${kind === 'integer' ? 'an' : 'a'} ${kind}${bounds.join('')}`
}

function defaultText(option: ConfigOption): string {
  return option.default === undefined
    ? ''
    : (option.default as string | number | boolean | readonly string[]).toString()
}

/**
 * Reads a room's options: flag, then environment, then file, then default.
 * @throws LockstepError LOCKSTEP_CFG_INVALID naming every fault at once, without any value.
 */
export function loadConfig<Table extends ConfigTable>(table: Table, sources: ConfigSources): ConfigOf<Table> {
  const { values: flags, faults } = flagsOf(table, sources.argv)
  const values: Record<string, unknown> = {}
  for (const [key, option] of Object.entries(table)) {
    const raw = rawValue(option, flags.get(key), sources.env)
    if (raw && 'fault' in raw) faults.push(raw.fault)
    else if (!raw && option.default === undefined)
      faults.push(`${option.env} (${flagOf(key)}): is required. ${option.desc}`)
    else {
      const value = raw ? convert(option, raw.text) : option.default
      if (Value.Check(option.type, value)) values[key] = Array.isArray(value) ? Object.freeze([...value]) : value
      else faults.push(`${option.env} (${flagOf(key)}): ${expectation(option.type)}`)
    }
  }
  if (faults.length > 0) throw fail('LOCKSTEP_CFG_INVALID', { faults: faults.map((fault) => `  ${fault}`).join('\n') })
  return Object.freeze(values) as ConfigOf<Table>
}

/** Masks passwords in whatever looks like a URL: up to the last @ of the word, since unescaped ones hold any sign. */
export function maskUrl(text: string): string {
  return text
    .replaceAll(/(\/\/[^/:@\s]*):\S*@/g, '$1:***@')
    .replaceAll(/([?&](?:password|token|secret|sslpassword)=)[^&\s]*/gi, '$1***')
}

/** What may be shown of a value: secrets that are URLs keep what helps to find a mistake, others nothing. */
function masked(text: string, isSecret: boolean): string {
  if (!isSecret) return maskUrl(text)
  if (text === '') return ''
  // First, because a parser takes an unescaped sign of the password for the beginning of host or path.
  const safe = maskUrl(text)
  if (!safe.includes('://') || !URL.canParse(safe)) return '***'
  const { protocol, username, password, host, pathname, search } = new URL(safe)
  if (pathname.includes('@')) return '***'
  const user = password !== '' ? `${username}:***@` : username !== '' ? '***@' : ''
  return `${protocol}//${user}${host}${pathname}${search === '' ? '' : '?***'}`
}

/** Shows what is in effect and where it came from. Secrets are masked; URLs lose their passwords only. */
export function printConfig(table: ConfigTable, sources: ConfigSources): ConfigLine[] {
  const { values: flags } = flagsOf(table, sources.argv)
  return Object.entries(table).map(([key, option]) => {
    const raw = rawValue(option, flags.get(key), sources.env)
    const given = raw && 'text' in raw ? raw : null
    const text = given ? given.text : defaultText(option)
    const origin = given ? given.origin : option.default === undefined ? 'missing' : 'default'
    return {
      key,
      env: option.env,
      flag: flagOf(key),
      value: masked(text, option.secret === true),
      origin,
      unit: option.unit ?? '',
      desc: option.desc,
    }
  })
}

/** One row of the configuration reference. */
export interface ConfigRow extends Omit<ConfigLine, 'value' | 'origin'> {
  /** In the words of its schema. */
  readonly type: string
  /** Empty where the option is required. */
  readonly default: string
  readonly secret: boolean
}

/** Describes a table for help texts and the generated reference; no environment is read. */
export function describeConfig(table: ConfigTable): ConfigRow[] {
  return Object.entries(table).map(([key, option]) => ({
    key,
    env: option.env,
    flag: flagOf(key),
    type: expectation(option.type).replace(/^must be (an? )?/, ''),
    default: maskUrl(defaultText(option)),
    unit: option.unit ?? '',
    desc: option.desc,
    secret: option.secret === true,
  }))
}
