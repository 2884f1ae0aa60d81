import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { API_OPTIONS, WORKER_OPTIONS } from '@lockstep/api'
import { PURGER_CONFIG } from '@lockstep/cdn-purger'
import { CONNECTOR_CONFIG } from '@lockstep/connector'
import { INVALIDATOR_CONFIG } from '@lockstep/invalidator'
import { loadConfig, type ConfigTable } from '@lockstep/runtime'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'

interface Service {
  readonly image?: string
  readonly build?: unknown
  readonly user?: string
  readonly command?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly secrets?: readonly string[]
  readonly read_only?: boolean
  readonly privileged?: boolean
  readonly cap_drop?: readonly string[]
  readonly cap_add?: readonly string[]
  readonly security_opt?: readonly string[]
  readonly network_mode?: string
  readonly pid?: string
  readonly restart?: string
  readonly profiles?: readonly string[]
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly networks?: readonly string[] | Readonly<Record<string, unknown>>
  readonly depends_on?: Readonly<Record<string, { readonly condition?: string }>>
  readonly deploy?: { readonly resources?: { readonly limits?: Readonly<Record<string, unknown>> } }
  readonly healthcheck?: { readonly test?: readonly string[] }
}

interface Compose {
  secrets: Record<string, { file: string }>
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean; ipam?: { config: readonly { subnet: string }[] } }>
}

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))
const read = (path: string): string => readFileSync(at(path), 'utf8')
// Variables of the shell that starts the stack have defaults.
const filled = (path: string): string => read(path).replaceAll(/\$\{(?!LOCKSTEP_SECRETS)\w+:-([^}]*)\}/g, '$1')
const readCompose = (): Compose => parse(filled('docker/compose.yaml'), { merge: true, maxAliasCount: -1 }) as Compose
const dockerfile = read('docker/Dockerfile')

const PUBLISHED = new Set(['balancer', 'prometheus', 'grafana'])
// Their images name a user of their own, which the stack's hardening was proven with.
const UNPRIVILEGED_IMAGES = /^(lockstep:local|apache\/kafka:|varnish:|haproxy:|prom\/prometheus:)/

const TIERS = ['shield-1', 'shield-2', 'edge-1', 'edge-2']

const PINNED = /^[a-z0-9./-]+:v?\d+(\.\d+)*(@sha256:[0-9a-f]{64})?$/

const networksOf = ({ networks = [] }: Service): readonly string[] =>
  Array.isArray(networks) ? (networks as readonly string[]) : Object.keys(networks)

const isOneShot = ({ restart = '' }: Service): boolean => restart.startsWith('on-failure')
const checkOf = ({ healthcheck }: Service): readonly string[] => healthcheck?.test ?? []
const limitsOf = ({ deploy }: Service): object => deploy?.resources?.limits ?? {}

/** What must not be true of a service. */
const FAULTS: Readonly<Record<string, (service: Service, name: string) => boolean>> = {
  'root file system is writable': (service) => service.read_only !== true,
  'keeps capabilities': ({ cap_drop: dropped, cap_add: added }) => dropped?.join() !== 'ALL' || added !== undefined,
  'may gain privileges': ({ privileged, security_opt: options = [] }) =>
    privileged === true || !options.includes('no-new-privileges:true'),
  'shares a namespace of the host': ({ network_mode: network, pid }) => network !== undefined || pid !== undefined,
  'runs as root': ({ user, image = '' }) =>
    user === undefined ? !UNPRIVILEGED_IMAGES.test(image) : /^(root|0)(:|$)/.test(user),
  'image is not pinned': ({ image = '' }) => image !== 'lockstep:local' && !PINNED.test(image),
  'mounts a path of the host': ({ volumes = [] }) =>
    volumes.some((volume) => /^[./~]/.test(volume) || volume.includes('docker.sock')),
  'publishes a port': ({ ports = [] }, name) => ports.length > 0 && !PUBLISHED.has(name),
  'publishes beyond this machine': ({ ports = [] }) => ports.some((port) => !port.startsWith('127.0.0.1:')),
  'has no limits': (service) => !['cpus', 'memory', 'pids'].every((limit) => limit in limitsOf(service)),
  'has no health check': (service) => checkOf(service).length === 0 && !isOneShot(service),
  'hides its check in a shell line': (service) => ['CMD-SHELL', 'NONE'].includes(checkOf(service)[0] ?? ''),
  'starts before what it needs': ({ depends_on: needed = {} }) =>
    Object.values(needed).some(({ condition = 'service_started' }) => condition === 'service_started'),
}

const faultsOf = (name: string, service: Service): string[] =>
  Object.keys(FAULTS).filter((fault) => FAULTS[fault]?.(service, name))

/** The environment of a service, with the demo's secrets in place of the files that are named. */
function environmentOf({ environment = {} }: Service): Record<string, string> {
  const filled = Object.entries(environment).map(([name, value]) =>
    value.startsWith('/run/secrets/')
      ? [name.replace(/_FILE$/, ''), read(value.replace('/run/secrets/', 'docker/secrets/')).trimEnd()]
      : [name, value],
  )
  return Object.fromEntries(filled) as Record<string, string>
}

const COMMANDS: readonly (readonly [service: string, table: ConfigTable, adminPort: number])[] = [
  ['connector-1', CONNECTOR_CONFIG, CONNECTOR_CONFIG.adminPort.default],
  ['connector-2', CONNECTOR_CONFIG, CONNECTOR_CONFIG.adminPort.default],
  ['invalidator-1', INVALIDATOR_CONFIG, INVALIDATOR_CONFIG.adminPort.default],
  ['invalidator-2', INVALIDATOR_CONFIG, INVALIDATOR_CONFIG.adminPort.default],
  ['cdn-purger', PURGER_CONFIG, PURGER_CONFIG.adminPort.default],
  ['shop-worker', WORKER_OPTIONS, WORKER_OPTIONS.adminPort.default],
  ['api-1', API_OPTIONS, API_OPTIONS.adminPort.default],
  ['api-2', API_OPTIONS, API_OPTIONS.adminPort.default],
  ['api-3', API_OPTIONS, API_OPTIONS.adminPort.default],
]

describe('docker/compose', () => {
  const { services, networks } = readCompose()
  const service = (name: string): Service => services[name] ?? {}

  test.for(Object.keys(services))('%s is hardened, bounded, pinned and watched', (name) => {
    expect(faultsOf(name, service(name))).toEqual([])
  })

  test.for<[fault: string, name: string, change: Partial<Service>]>([
    ['root file system is writable', 'redis', { read_only: false }],
    ['keeps capabilities', 'redis', { cap_drop: [] }],
    ['keeps capabilities', 'redis', { cap_add: ['SYS_ADMIN'] }],
    ['may gain privileges', 'redis', { security_opt: [] }],
    ['may gain privileges', 'redis', { privileged: true }],
    ['shares a namespace of the host', 'redis', { network_mode: 'host' }],
    ['runs as root', 'redis', { user: '0:0' }],
    ['image is not pinned', 'redis', { image: 'redis:latest' }],
    ['image is not pinned', 'redis', { image: 'redis' }],
    ['mounts a path of the host', 'redis', { volumes: ['/var/run/docker.sock:/var/run/docker.sock'] }],
    ['publishes a port', 'redis', { ports: ['127.0.0.1:6379:6379'] }],
    ['publishes beyond this machine', 'balancer', { ports: ['8080:8080'] }],
    ['has no limits', 'redis', { deploy: { resources: { limits: { cpus: '1', memory: '1G' } } } }],
    ['has no health check', 'connector-1', { healthcheck: {} }],
    ['hides its check in a shell line', 'connector-1', { healthcheck: { test: ['CMD-SHELL', 'true'] } }],
    ['starts before what it needs', 'connector-1', { depends_on: { kafka: {} } }],
  ])('the rules find it where a service %s', ([fault, name, change]) => {
    expect(faultsOf(name, { ...service(name), ...change })).toEqual([fault])
  })

  test('databases and log cannot be reached from the edge or from outside', () => {
    expect(networks['data']?.internal).toBe(true)
    for (const name of ['postgres', 'postgres-standby', 'redis', 'kafka'])
      expect(networksOf(service(name))).toEqual(['data'])
    for (const tier of TIERS) expect(networksOf(service(tier))).toEqual(['front', 'purge'])
  })

  test('only the purger shares the network that may purge', () => {
    expect(networks['purge']?.internal).toBe(true)
    const members = Object.keys(services).filter((name) => networksOf(service(name)).includes('purge'))
    expect(members).toEqual(['cdn-purger', ...TIERS])
  })

  test.for(COMMANDS)('%s accepts its environment and is asked at its own admin port', ([name, table, port]) => {
    const environment = environmentOf(service(name))
    expect(() => loadConfig(table, { env: environment })).not.toThrow()
    expect(checkOf(service(name))).toEqual(['CMD', 'bash', '/ready.sh', String(port)])
  })

  test('every variable is an option of some service, or of Node itself', () => {
    const known = new Set(COMMANDS.flatMap(([, table]) => Object.values(table).map(({ env }) => env)))
    const given = COMMANDS.flatMap(([name]) => Object.keys(environmentOf(service(name))))
    expect(given.filter((name) => name !== 'NODE_OPTIONS' && !known.has(name as `LOCKSTEP_${string}`))).toEqual([])
  })

  test.for(['LOCKSTEP_NAMESPACE', 'LOCKSTEP_MAX_STALENESS_MS', 'LOCKSTEP_REBOUND_MS', 'LOCKSTEP_REDIS_URL'])(
    '%s is the same in every process',
    (option) => {
      const values = new Set(COMMANDS.map(([name]) => service(name).environment?.[option]))
      expect([...values]).toEqual([expect.any(String)])
    },
  )

  test('purger and both tiers read one token, from a file', () => {
    expect(service('cdn-purger').environment?.['LOCKSTEP_PURGER_VARNISH_TOKEN_FILE']).toBe('/run/secrets/purge-token')
    for (const tier of TIERS) expect(service(tier).entrypoint?.at(-1)).toContain('/run/secrets/purge-token')
  })

  test('no secret stands in the compose file, and every one of its files is there', () => {
    const { secrets } = readCompose()
    const text = read('docker/compose.yaml')
    for (const [name, { file }] of Object.entries(secrets)) {
      expect(file).toBe(`\${LOCKSTEP_SECRETS:-./secrets}/${name}`)
      expect(text).not.toContain(read(`docker/secrets/${name}`).trimEnd())
    }
    const used = Object.values(services).flatMap(({ secrets: names = [] }) => names)
    expect(new Set(used)).toEqual(new Set(Object.keys(secrets)))
  })

  test('the standby, each tier and the balancer follow one another as the purger believes', () => {
    expect(service('cdn-purger').environment?.['LOCKSTEP_PURGER_TIERS']).toMatch(/shield.*;.*edge/)
    expect(read('docker/haproxy.cfg').match(/^ {2}server api-\d/gm)).toHaveLength(3)
  })

  test('Prometheus scrapes every process of ours at its admin port', () => {
    const targets = [...read('deploy/prometheus/prometheus.yml').matchAll(/'([\w-]+):(\d+)'/g)].map(
      ([, name, port]) => [name, Number(port)],
    )
    for (const [name, , port] of COMMANDS) expect(targets).toContainEqual([name, port])
  })

  test('both VCL files are what the purger renders, for their next tier and this network', async () => {
    const { VCL } = (await import(at('docker/render-vcl.ts'))) as { readonly VCL: Readonly<Record<string, string>> }
    const [address, bits] = networks['purge']?.ipam?.config[0]?.subnet.split('/') ?? []
    for (const [file, text] of Object.entries(VCL)) {
      // Stale? node scripts/run.mjs docker/render-vcl.ts
      expect(read(`docker/${file}`)).toBe(text)
      expect(text).toContain(`acl purgers {\n  "${address}"/${bits};\n}`)
      const [, host = ''] = /\.host = "(.+)"/.exec(text) ?? []
      // Looked up once: so it has an address that stays.
      expect(service(host).networks).toMatchObject({ front: { ipv4_address: expect.any(String) } })
    }
  })

  test('with three brokers every process knows all of them, and begins when they are there', () => {
    const more = parse(read('docker/compose.brokers.yaml'), { merge: true }) as Compose
    const brokers = ['kafka', 'kafka-2', 'kafka-3']
    for (const [name] of COMMANDS) {
      const { environment = {}, depends_on: needed = {} } = more.services[name] ?? {}
      expect(environment['LOCKSTEP_KAFKA_BROKERS']).toBe(brokers.map((broker) => `${broker}:9092`).join())
      expect(Object.keys(needed)).toEqual(brokers)
    }
    const ids = brokers.map((broker) => more.services[broker]?.environment?.['KAFKA_NODE_ID'] ?? '1')
    expect(ids).toEqual(['1', '2', '3'])
  })

  test('the drill restarts every service that runs', async () => {
    const { RESTARTED } = (await import(at('docker/drill.ts'))) as { readonly RESTARTED: readonly string[] }
    const running = Object.keys(services).filter((name) => !service(name).profiles && !isOneShot(service(name)))
    expect([...RESTARTED].toSorted()).toEqual(running.toSorted())
  })

  test('the root file starts the same stack', () => {
    const root = parse(read('compose.yaml')) as { name: string; include: readonly string[] }
    expect(root).toEqual({ name: 'lockstep', include: ['docker/compose.yaml'] })
  })
})

describe('docker/Dockerfile', () => {
  const { workspaces, engines } = JSON.parse(read('package.json')) as {
    workspaces: string[]
    engines: { node: string }
  }
  const stages = dockerfile.split(/^FROM /m).slice(1)

  test('the image is built in stages on a pinned Node of the major the project needs', () => {
    expect(stages).toHaveLength(2)
    const [, major] = /^ARG NODE_IMAGE=node:(\d+)-bookworm-slim$/m.exec(dockerfile) ?? []
    expect(engines.node).toBe(`>=${major}`)
    for (const stage of stages) expect(stage).toMatch(/^\$\{NODE_IMAGE\}/)
    expect(dockerfile).not.toMatch(/^# *syntax=|^ADD |:latest/m)
  })

  test('the process is nobody, and owns nothing that it runs', () => {
    expect(stages[1]).toMatch(/^USER [1-9]\d+:[1-9]\d+$/m)
    expect(stages[1]).not.toContain('--chown')
  })

  test('the lock file decides what is installed, and no install script runs', () => {
    const installs = dockerfile.split('\n').filter((line) => /^(RUN|&&).*\bnpm (ci|install|prune)\b/.test(line))
    expect(installs).toHaveLength(2)
    for (const line of installs) expect(line).toContain('--ignore-scripts')
    expect(dockerfile).not.toContain('npm install')
  })

  test('every workspace is known to the install, and every service room is in the image', () => {
    for (const room of workspaces) expect(stages[0]).toContain(`COPY ${room}/package.json ${room}/\n`)
    const rooms = workspaces.filter((room) => room !== 'itest' && room !== 'bench')
    for (const room of rooms) expect(stages[1]).toContain(`COPY --from=build /build/${room} ${room}\n`)
  })

  test('the build sees what is listed and nothing else', () => {
    const lines = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    expect(lines[0]).toBe('*')
    const sources = [...(stages[0] ?? '').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths = '']) =>
      paths.split(' '),
    )
    const isSeen = (path: string) => lines.includes(`!${path}`) || lines.includes(`!${path.split('/')[0]}`)
    expect(sources.length).toBeGreaterThan(20)
    expect(sources.filter((path) => !isSeen(path))).toEqual([])
    for (const hidden of ['**/node_modules', '**/dist', '**/.env*']) expect(lines).toContain(hidden)
  })
})
