import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { PROGRAM, ROOT } from '../lockstep.ts'

// As the image runs it, and with the heap that compose.yaml gives it.
const HEAP = ['--max-semi-space-size=16', '--max-old-space-size=128']
const FLAGS = ['--enable-source-maps', ...HEAP, PROGRAM, 'connector']
// USER_HZ: a kernel ABI constant on Linux.
const TICKS_PER_SECOND = 100

/** Where a connector process reads from and writes to. */
export interface ServiceOptions {
  readonly databaseUrl: string
  readonly brokers: readonly string[]
  readonly namespace: string
  readonly slot: string
  readonly publication: string
  readonly rulesFile: string
  readonly adminPort: number
  readonly env?: Readonly<Record<string, string>>
}

/** The connector as operators run it, in a process of its own. */
export interface ConnectorProcess {
  /** User and system time so far, s. */
  cpuSeconds(): number
  rssPeakMb(): number
  /** Text of /metrics. */
  metrics(): Promise<string>
  stop(): Promise<void>
}

/** Starts `lockstep connector`; its errors go to this process' stderr. */
export function startConnectorProcess(options: ServiceOptions): ConnectorProcess {
  const { databaseUrl, brokers, namespace, slot, publication, rulesFile, adminPort } = options
  const child: ChildProcess = spawn(process.execPath, FLAGS, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      LOCKSTEP_CONNECTOR_DATABASE_URL: databaseUrl,
      LOCKSTEP_KAFKA_BROKERS: brokers.join(','),
      LOCKSTEP_NAMESPACE: namespace,
      LOCKSTEP_CONNECTOR_SLOT: slot,
      LOCKSTEP_CONNECTOR_PUBLICATION: publication,
      LOCKSTEP_RULES_FILE: rulesFile,
      LOCKSTEP_CONNECTOR_ADMIN_PORT: String(adminPort),
      ...options.env,
    },
  })
  const ended = once(child, 'exit')
  child.stdout?.setEncoding('utf8').on('data', (lines: string) => {
    for (const line of lines.split('\n')) if (line.includes('"level":50')) process.stderr.write(`${line}\n`)
  })
  return {
    cpuSeconds: () => {
      // After the name, which may hold spaces: fields 14 and 15 of the line are user and system ticks.
      const fields = proc(child, 'stat').split(') ')[1]?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
    },
    rssPeakMb: () => Number(/VmHWM:\s+(\d+)/.exec(proc(child, 'status'))?.[1] ?? Number.NaN) / 1024,
    metrics: async () => await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text(),
    stop: async () => {
      child.kill('SIGTERM')
      await ended
    },
  }
}

function proc({ pid }: ChildProcess, file: string): string {
  return readFileSync(`/proc/${pid}/${file}`, 'utf8')
}
