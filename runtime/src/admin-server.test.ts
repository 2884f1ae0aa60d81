import { afterEach, describe, expect, test } from 'vitest'
import { startAdminServer, type AdminServer, type AdminServerOptions } from './admin-server.ts'
import { createMetrics } from './metrics.ts'

const opened: AdminServer[] = []

async function start(changes: Partial<AdminServerOptions> = {}) {
  const server = await startAdminServer({
    host: '127.0.0.1',
    port: 0,
    metrics: createMetrics(),
    health: () => ({ ready: true }),
    status: () => ({ phase: 'streaming', watermark: 2n ** 60n }),
    portOption: 'LOCKSTEP_TEST_ADMIN_PORT',
    ...changes,
  })
  opened.push(server)
  return {
    port: server.port,
    get: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init),
  }
}

describe('runtime/admin-server', () => {
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((server) => server.close()))
  })

  test('readiness follows the health of the moment and names its reasons', async () => {
    let ready = true
    const { get } = await start({ health: () => (ready ? { ready } : { ready, reasons: ['draining'] }) })
    expect((await get('/readyz')).status).toBe(200)
    ready = false
    const refused = await get('/readyz')
    expect(refused.status).toBe(503)
    expect(await refused.json()).toEqual({ ready: false, reasons: ['draining'] })
    expect((await get('/livez')).status).toBe(200)
  })

  test('the status is JSON with positions as text', async () => {
    const { get } = await start()
    expect(await (await get('/statusz')).json()).toEqual({ phase: 'streaming', watermark: '1152921504606846976' })
  })

  test('metrics are Prometheus text', async () => {
    const { get } = await start()
    const response = await get('/metrics')
    expect(response.headers.get('content-type')).toContain('version=0.0.4')
    expect(await response.text()).toContain('# HELP process_cpu_seconds_total')
  })

  test('another path or method is answered with a problem', async () => {
    const { get } = await start()
    const response = await get('/nothing')
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toMatchObject({ status: 404 })
    expect((await get('/livez', { method: 'POST' })).status).toBe(405)
  })

  test('a probe that throws is answered with 500 and ends nothing', async () => {
    const broken = () => {
      throw new Error('no connection')
    }
    const { get } = await start({ health: broken, status: broken })
    expect((await get('/readyz')).status).toBe(500)
    expect((await get('/statusz')).status).toBe(500)
    expect((await get('/livez')).status).toBe(200)
  })

  test('a taken port is a configuration fault that names the port and its option', async () => {
    const { port } = await start()
    await expect(start({ port })).rejects.toMatchObject({
      code: 'LOCKSTEP_CFG_PORT_IN_USE',
      disposition: 'config',
      message: expect.stringMatching(new RegExp(`port ${port} is in use.*LOCKSTEP_TEST_ADMIN_PORT`)) as string,
    })
  })
})
