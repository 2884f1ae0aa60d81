import { Load, type LoadOptions, type LoadReport } from './load.ts'

/** The demo's load runs in a process of its own, so that neither disturbs the other's event loop. */
export type LoadMessage = { readonly kind: 'report'; readonly report: LoadReport }

const REPORT_MS = 500

/** Runs the load that the parent describes as JSON; ends when told `stop` or when the parent is gone. */
export async function runLoad(text: string): Promise<void> {
  const load = new Load(JSON.parse(text) as LoadOptions)
  const send = () => process.send?.({ kind: 'report', report: load.report() } satisfies LoadMessage)
  const timer = setInterval(send, REPORT_MS)
  process.on('message', () => load.stop())
  process.on('disconnect', () => load.stop())
  // Ctrl-C reaches the whole group; the parent decides when the load ends.
  process.on('SIGINT', () => undefined)
  await load.run()
  clearInterval(timer)
  send()
  process.disconnect?.()
}
