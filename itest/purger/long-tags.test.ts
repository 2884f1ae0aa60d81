import type { AddressInfo } from 'node:net'
import { createCache } from '@lockstep/cache'
import { fastifyLockstep } from '@lockstep/cache/fastify'
import { edgeVcl, PURGER_CONFIG, startPurger } from '@lockstep/cdn-purger'
import { createMemoryLog, loadConfig, silentLogger, TOPICS } from '@lockstep/runtime'
import { encodeEvent, parseTag, stampOf, type Clock, type Lsn } from '@lockstep/schemas'
import { pollUntil, startVarnish } from '@lockstep/servers'
import Fastify from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'

const TOKEN = 'long-tags'
const KEEPS_ALL = 'if (beresp.http.Surrogate-Key) { set beresp.http.xkey = beresp.http.Surrogate-Key; }'
// The label of the outer tier stands last, some behind that of the tier before.
const isHit = (label: string | null): boolean => label?.endsWith('HIT') === true

/** What a CDN keeps of the tags of one answer, the rest of which it drops without a word. */
interface Keeps {
  readonly vcl: string
  /** Tags of the page, more than that. */
  readonly tags: number
  /** What the application says of the CDN. */
  readonly guard: { readonly maxTagBytes?: number; readonly maxTags?: number }
}

const cut = (kept: string): string =>
  `set beresp.http.Surrogate-Key = regsub(beresp.http.Surrogate-Key, "${kept}", "\\1");`
const SILENT: Readonly<Record<string, Keeps>> = {
  'bytes (Bunny keeps 1,024, Fastly 16,384)': {
    vcl: `if (beresp.http.Surrogate-Key ~ "^.{1025}") { ${cut('^(.{0,1024}) .*$')} }`,
    tags: 200,
    guard: { maxTagBytes: 1_024 },
  },
  'a number (CloudFront keeps 50, Akamai 128)': {
    vcl: cut('^(([^ ]+ ){49}[^ ]+) .*$'),
    tags: 60,
    guard: { maxTags: 50 },
  },
}
const NO_GUARD = { maxTagBytes: 1_000_000 }
// As Varnish comes out of the box.
const UNTUNED = ['-p', 'http_resp_hdr_len=8k', '-p', 'http_resp_size=32k', '-p', 'workspace_backend=96k']

describe('tag headers longer than what an edge keeps', () => {
  const stops: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const stop of stops.splice(0).toReversed()) await stop()
  })

  /** An application whose one page has many tags. */
  const startOrigin = async (tags: number, guard: Keeps['guard']) => {
    const cache = createCache({ redis: null, coherence: 'explicit' })
    let body = 'old'
    const members = Array.from({ length: tags }, (_, index) => `member:${index}`)
    const pages = cache.define('page', {
      key: (id: string) => `page:${id}`,
      load: () => Promise.resolve({ body }),
      tags: () => members,
      ttlMs: 600_000,
    })
    await cache.start()
    const app = Fastify()
    await app.register(fastifyLockstep, { cache, reboundMs: 100, ...guard })
    app.get('/page', async ({ lockstep }) => (await lockstep.read(pages, '1'))?.body)
    await app.listen({ host: '127.0.0.1', port: 0 })
    stops.push(async () => app.close().then(async () => cache.stop()))
    const last = members.at(-1) ?? ''
    const change = async () => {
      body = 'new'
      await cache.invalidate([last])
    }
    return { port: (app.server.address() as AddressInfo).port, last, change }
  }

  /** Two tiers with the same fault. */
  const startTiers = async (originPort: number, { vcl, args = [] }: { vcl: string; args?: readonly string[] }) => {
    const tier = async (backendPort: number) => {
      const ours = edgeVcl({ backendHost: '127.0.0.1', backendPort })
      expect(ours).toContain(KEEPS_ALL)
      const varnish = await startVarnish({
        vcl: ours.replace(KEEPS_ALL, `${vcl}\n  ${KEEPS_ALL}`),
        env: { LOCKSTEP_PURGE_TOKEN: TOKEN },
        args,
      })
      stops.push(async () => varnish.stop())
      return varnish.url
    }
    const shield = await tier(originPort)
    const edge = await tier(Number(new URL(shield).port))
    const read = async () => {
      const response = await fetch(`${edge}/page`)
      return { status: response.status, body: await response.text(), isHit: isHit(response.headers.get('x-cache')) }
    }
    return { shield, edge, read }
  }

  /** Has the tag purged from both tiers, and once more after the rebound. */
  const purge = async (tag: string, tiers: { readonly shield: string; readonly edge: string }) => {
    const log = createMemoryLog()
    const env = {
      LOCKSTEP_REDIS_URL: '',
      LOCKSTEP_PURGER_TIERS: `varnish+${tiers.shield};varnish+${tiers.edge}`,
      LOCKSTEP_PURGER_VARNISH_TOKEN: TOKEN,
      LOCKSTEP_REBOUND_MS: '100',
    }
    const purger = await startPurger(loadConfig(PURGER_CONFIG, { env }), { log, logger: silentLogger })
    const command = {
      kind: 'purge',
      id: 'p',
      tag: parseTag(tag),
      stamp: stampOf(1, '1'.padStart(20, '0') as Clock),
      commitLsn: 1n as Lsn,
      commitTimeUs: 1n,
      busId: '',
      reason: 'test',
    } as const
    await log.produce(TOPICS.purges, [{ key: tag, value: encodeEvent(command) }])
    const isDone = () => {
      const { commitToEdge, backlog, rebounds } = purger.status()
      return commitToEdge.count === 1 && backlog + rebounds === 0
    }
    expect(await pollUntil(() => Promise.resolve(isDone()), 10_000, 10)).toBe(true)
    await purger.stop()
    await log.close()
  }

  /** What a client reads after the page changed by its last tag, and that tag was purged from both tiers. */
  const readAfterPurge = async ({ vcl, tags }: Keeps, guard: Keeps['guard']) => {
    const origin = await startOrigin(tags, guard)
    const tiers = await startTiers(origin.port, { vcl })
    await tiers.read()
    expect(await tiers.read()).toMatchObject({ status: 200, body: 'old' })
    await origin.change()
    await purge(origin.last, tiers)
    return await tiers.read()
  }

  describe.for(Object.entries(SILENT))('where two tiers keep %s', ([, keeps]) => {
    test('an answer with more is not kept, so no purge can miss it', async () => {
      expect(await readAfterPurge(keeps, keeps.guard)).toMatchObject({ body: 'new', isHit: false })
    })

    test('kept nevertheless, it outlives the purge of its last tag (the limit of the plugin is what prevents it)', async () => {
      expect(await readAfterPurge(keeps, NO_GUARD)).toMatchObject({ body: 'old', isHit: true })
    })
  })

  /** What two tiers as they come out of the box answer where the tags alone fill a header of 8 KiB. */
  const readUntuned = async (guard: Keeps['guard']) => {
    const origin = await startOrigin(800, guard)
    const { read } = await startTiers(origin.port, { vcl: '', args: UNTUNED })
    return await read()
  }

  test('a Varnish as it comes answers a page with more tags than a header of it holds', async () => {
    expect(await readUntuned({})).toMatchObject({ status: 200, body: 'old', isHit: false })
  })

  test('without the limit it answers 503 (the default of the plugin is what prevents it)', async () => {
    expect(await readUntuned(NO_GUARD)).toMatchObject({ status: 503 })
  })
})
