import { readServersConfig, type ServersConfig } from './config.ts'
import { dockerHasImage, startContainer } from './docker.ts'
import { ownLinks, type FaultyLink, type FaultyLinks, type Toxic } from './faulty-link.ts'
import { freePort } from './free-port.ts'

export const TOXIPROXY_IMAGE = 'ghcr.io/shopify/toxiproxy:2.12.0'

type Attributes = Readonly<Record<string, number>>

/** Without a pause the kernel puts the slices together again. */
const SLICE_PAUSE_US = 100

/** https://github.com/Shopify/toxiproxy#toxics: milliseconds, bytes; the slicer's pause in microseconds. */
function attributesOf(toxic: Toxic): Attributes {
  switch (toxic.type) {
    case 'latency':
      return { latency: toxic.latencyMs }
    case 'slicer':
      return { average_size: toxic.sliceBytes, delay: SLICE_PAUSE_US }
    case 'timeout':
    case 'reset_peer':
      return { timeout: 0 }
  }
}

async function ask(url: string, method: 'GET' | 'POST' | 'DELETE', body?: object): Promise<void> {
  const answer = await fetch(url, { method, ...(body ? { body: JSON.stringify(body) } : {}) })
  if (!answer.ok) throw new Error(`Toxiproxy: ${method} ${url}: ${answer.status} ${await answer.text()}`)
}

class ToxiproxyLink implements FaultyLink {
  readonly port: number
  readonly #api: string
  readonly #name: string
  #toxics: string[] = []

  constructor(api: string, port: number) {
    this.#api = api
    this.port = port
    this.#name = `link-${port}`
  }

  leadTo(port: number): Promise<void> {
    const link = { name: this.#name, listen: `127.0.0.1:${this.port}`, upstream: `127.0.0.1:${port}`, enabled: true }
    return ask(`${this.#api}/proxies`, 'POST', link)
  }

  async suffer(toxic: Toxic): Promise<void> {
    await this.heal()
    // Toxiproxy itself resets only connections that are made later.
    if (toxic.type === 'reset_peer') await this.#enable(false)
    for (const stream of ['upstream', 'downstream']) {
      const name = `${toxic.type}-${stream}`
      this.#toxics.push(name)
      const body = { name, type: toxic.type, stream, attributes: attributesOf(toxic) }
      await ask(`${this.#api}/proxies/${this.#name}/toxics`, 'POST', body)
    }
    if (toxic.type === 'reset_peer') await this.#enable(true)
  }

  async heal(): Promise<void> {
    for (const name of this.#toxics.splice(0)) await ask(`${this.#api}/proxies/${this.#name}/toxics/${name}`, 'DELETE')
  }

  #enable(enabled: boolean): Promise<void> {
    return ask(`${this.#api}/proxies/${this.#name}`, 'POST', { enabled })
  }
}

/** A real Toxiproxy in a container; undefined where Docker does not run it. */
export async function startToxiproxy(config: ServersConfig = readServersConfig()): Promise<FaultyLinks | undefined> {
  if (!(await dockerHasImage(TOXIPROXY_IMAGE, config.dockerHost))) return undefined
  const apiPort = await freePort()
  const api = `http://127.0.0.1:${apiPort}`
  const answers = () =>
    ask(`${api}/version`, 'GET').then(
      () => true,
      () => false,
    )
  // The links are ports of this machine, to servers of this machine.
  const server = await startContainer({
    what: 'Toxiproxy',
    image: TOXIPROXY_IMAGE,
    ports: 'host',
    command: ['-host=127.0.0.1', `-port=${apiPort}`],
    readyLog: /Starting Toxiproxy HTTP server/i,
    probe: answers,
  })
  if (server === undefined) return undefined
  return { open: async () => new ToxiproxyLink(api, await freePort()), stop: () => server.stop() }
}

/** Links that can be made to fail: Toxiproxy where Docker runs it, else our own, to the same contract. */
export async function startFaultyLinks(config: ServersConfig = readServersConfig()): Promise<FaultyLinks> {
  const real = config.order.includes('docker') ? await startToxiproxy(config) : undefined
  return real ?? ownLinks()
}
