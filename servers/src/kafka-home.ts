import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { formatProperties, LOG4J, POM } from './kafka-files.ts'
import { stderrNotice } from './provider.ts'

const run = promisify(execFile)

/** The last release whose tools are on Maven Central; 4.4.0 lacks them. */
export const KAFKA_VERSION = '4.3.1'
const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024

/** Holds what every broker of this machine shares; made once, kept in the user's cache. */
export interface KafkaHome {
  readonly java: string
  /** Fixed order: the class archive is refused when the class path differs from the one it was made with. */
  readonly classPath: string
  readonly log4jFile: string
  /** A formatted storage directory to copy: formatting anew costs 0.7 s of Java each time. */
  readonly formattedDir: string
  /** Where the class archive of this Java is, or will be after the first orderly stop. */
  readonly archiveFile: string
}

/** Puts a directory in place at once, so that another process never sees half of it; the first one wins. */
async function once(target: string, make: (directory: string) => Promise<void>): Promise<void> {
  if (existsSync(target)) return
  const fresh = mkdtempSync(`${target}.`)
  try {
    await make(fresh)
    renameSync(fresh, target)
  } catch (error) {
    if (!existsSync(target)) throw error
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

async function download(mvn: string, directory: string): Promise<void> {
  stderrNotice(`fetching Kafka ${KAFKA_VERSION} with Maven (55 MB, once)`)
  const pom = join(directory, 'pom.xml')
  writeFileSync(pom, POM)
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-Dkafka.version=${KAFKA_VERSION}`]
  await run(mvn, ['-q', '-B', '-f', pom, ...goal, `-DoutputDirectory=${directory}`], { maxBuffer: OUTPUT_LIMIT_BYTES })
  rmSync(pom)
}

async function format(java: string, classPath: string, directory: string): Promise<void> {
  const properties = join(directory, 'format.properties')
  writeFileSync(properties, formatProperties(directory))
  const clusterId = randomBytes(16).toString('base64url')
  await run(java, ['-cp', classPath, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties], {
    maxBuffer: OUTPUT_LIMIT_BYTES,
  })
  rmSync(properties)
}

/** Names the archive after the Java that can read it. */
async function javaVersion(java: string): Promise<string> {
  const { stderr } = await run(java, ['-version'])
  return (/"([^"]+)"/.exec(stderr)?.[1] ?? 'unknown').replaceAll(/[^\w.-]/g, '_')
}

/** Gives the jars, or undefined when they are neither cached nor to be had: without Maven, or without a network. */
export async function kafkaHome(
  java: string,
  mvn: string | undefined,
  cacheDir: string,
): Promise<KafkaHome | undefined> {
  const home = join(cacheDir, `kafka-${KAFKA_VERSION}`)
  const libs = join(home, 'libs')
  if (!existsSync(libs) && mvn === undefined) return undefined
  mkdirSync(home, { recursive: true })
  try {
    await once(libs, (directory) => download(mvn ?? 'mvn', directory))
  } catch (error) {
    stderrNotice(`Maven cannot fetch Kafka ${KAFKA_VERSION}: ${(error as Error).message.slice(0, 500)}`)
    return undefined
  }
  const jars = readdirSync(libs).filter((name) => name.endsWith('.jar'))
  const classPath = jars
    .toSorted()
    .map((name) => join(libs, name))
    .join(':')
  const formattedDir = join(home, 'formatted')
  await once(formattedDir, (directory) => format(java, classPath, directory))
  const log4jFile = join(home, 'log4j2.xml')
  if (!existsSync(log4jFile) || readFileSync(log4jFile, 'utf8') !== LOG4J) {
    const fresh = `${log4jFile}.${process.pid}`
    writeFileSync(fresh, LOG4J)
    renameSync(fresh, log4jFile)
  }
  const archiveFile = join(home, `classes-${await javaVersion(java)}.jsa`)
  return { java, classPath, log4jFile, formattedDir, archiveFile }
}

/** Copies the formatted storage under a cluster id of its own, so that a client notices another broker on an old port. */
export function copyStorage(home: KafkaHome, target: string): void {
  cpSync(home.formattedDir, target, { recursive: true })
  const file = join(target, 'meta.properties')
  const id = randomBytes(16).toString('base64url')
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^cluster\.id=.*$/m, `cluster.id=${id}`))
}
