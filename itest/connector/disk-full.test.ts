import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmdirSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '@lockstep/runtime/testing'
import { startPostgres, type PostgresServer } from '@lockstep/servers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { connect, MAJORS } from './rig.ts'
import { DEADLINE_MS, Scene } from './scene.ts'

const VOLUME_MB = 256
/** More than the volume holds beside an empty database. */
const WAL_MB = 320
const SEGMENT_MB = 16
const SMALL_WAL = { min_wal_size: '32MB', max_wal_size: '32MB' }

/** Mounts a volume of a few MB, for as long as the test runs; null for who may not. */
function smallVolume(): string | null {
  const path = mkdtempSync(join(tmpdir(), 'lockstep-volume-'))
  chmodSync(path, 0o755)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${VOLUME_MB}m,mode=755`, 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    rmdirSync(path)
    return null
  }
  onTestFinished(() => {
    execFileSync('umount', [path])
    rmdirSync(path)
  })
  return path
}

/** A server whose files are all on that volume. */
async function serverOn(
  volume: string,
  major: 15 | 18,
  settings: Readonly<Record<string, string>>,
): Promise<PostgresServer> {
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = volume
  try {
    const server = await startPostgres({ major, needs: 'process', settings: { ...SMALL_WAL, ...settings } })
    onTestFinished(() => server.stop())
    return server
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
}

/** Writes more WAL than there is room for. */
async function writeMuch(query: (sql: string) => Promise<unknown>): Promise<void> {
  for (let mb = 0; mb < WAL_MB; mb += 8) {
    await query(`select pg_logical_emit_message(false, 'ballast', repeat('x', 8388608))`)
    await query('checkpoint')
  }
}

describe.each(MAJORS)('itest/connector/disk-full on PostgreSQL %s', (major) => {
  test('on a small volume the slot gives up its WAL before the disk is full, and is made again behind a flush', async ({
    skip,
  }) => {
    const volume = smallVolume() ?? skip('only root may mount a volume')
    const server = await serverOn(volume, major, { max_slot_wal_keep_size: '64MB' })
    const scene = await Scene.open(server.url)
    const connector = await scene.start()
    await scene.insert(1)
    await waitFor(() => scene.has(1), DEADLINE_MS)
    await connector.stop()
    await writeMuch((sql) => scene.source.query(sql))
    await scene.insert(2)
    const [generation = 0] = scene.generations()
    await scene.start()
    expect(await scene.nextGeneration(generation)).toBe('slot-lost')
    await scene.insert(3)
    await waitFor(() => scene.has(3), DEADLINE_MS)
  })

  test('on a small volume a slot without that bound fills the disk, and nothing can be written', async ({ skip }) => {
    const volume = smallVolume() ?? skip('only root may mount a volume')
    const server = await serverOn(volume, major, { max_slot_wal_keep_size: '-1' })
    const client = await connect(server.url)
    await client.query(`select pg_create_logical_replication_slot('nobody_reads', 'pgoutput')`)
    await expect(writeMuch((sql) => client.query(sql))).rejects.toThrow(
      /No space left|terminat|checkpoint request failed/,
    )
    const { bavail, bsize } = statfsSync(volume)
    expect((bavail * bsize) / 1024 ** 2).toBeLessThan(SEGMENT_MB)
  })
})
