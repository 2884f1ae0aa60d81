import { parseTag, type Stamp } from '@lockstep/schemas'
import { describe, expect, test } from 'vitest'
import { verifyTiers, type TierAnswer, type VerifyPorts } from './verify.ts'

const signal = new AbortController().signal
const TIERS = [
  { name: 'shield', url: 'http://shield/' },
  { name: 'edge', url: 'http://edge' },
  { name: 'cdn', url: null },
]
const stampOf = (n: number) => String(n).padStart(28, '0') as Stamp

async function verdicts(ports: VerifyPorts): Promise<unknown[]> {
  const found = await verifyTiers(TIERS, ports, { path: '/products/1', tags: [parseTag('product:1')], signal })
  return found.map(({ tier, verdict, url }) => [tier, verdict, url])
}

const answer = (stamp: string | null): TierAnswer => ({ status: 200, ageSeconds: 3, stamp })

describe('cdn-purger/admin verify', () => {
  test('a tier that serves from before the fence is stale, one that serves from it on is fresh', async () => {
    const stamps: Record<string, string> = {
      'http://shield/products/1': stampOf(7),
      'http://edge/products/1': stampOf(6),
    }
    const read = (url: string) => Promise.resolve(answer(stamps[url] ?? null))
    expect(await verdicts({ read, fenceOf: () => Promise.resolve(stampOf(7)) })).toEqual([
      ['shield', 'fresh', 'http://shield/products/1'],
      ['edge', 'stale', 'http://edge/products/1'],
      ['cdn', 'unknown', ''],
    ])
  })

  test('without a stamp, a fence or an answer nothing is called fresh', async () => {
    const noStamp: VerifyPorts = {
      read: () => Promise.resolve(answer(null)),
      fenceOf: () => Promise.resolve(stampOf(1)),
    }
    const noFence: VerifyPorts = {
      ...noStamp,
      read: () => Promise.resolve(answer(stampOf(9))),
      fenceOf: () => Promise.resolve(null),
    }
    const noRedis: VerifyPorts = { ...noFence, fenceOf: () => Promise.reject(new Error('away')) }
    const noAnswer: VerifyPorts = { ...noStamp, read: () => Promise.reject(new Error('refused')) }
    for (const ports of [noStamp, noFence, noRedis, noAnswer])
      expect((await verdicts(ports)).map((verdict) => (verdict as string[])[1])).toEqual([
        'unknown',
        'unknown',
        'unknown',
      ])
  })
})
