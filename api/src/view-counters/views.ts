import type { EventLog, RecordHeaders } from '@lockstep/runtime'
import { SHOP_TOPICS } from '../shop-topics.ts'

/** What the log holds of a view: the id of the product, as text. */
const PRODUCT_ID = /^[1-9]\d{0,15}$/

/** Accepts a view: once this resolves the log has it, and some worker will count it. */
export function acceptView(log: Pick<EventLog, 'produce'>, productId: number, headers?: RecordHeaders): Promise<void> {
  const text = String(productId)
  return log.produce(SHOP_TOPICS.views, [{ key: text, value: Buffer.from(text), headers }])
}

/** Reads a view back; null for anything that `acceptView` did not write. */
export function productOfView(value: Buffer): number | null {
  const text = value.toString()
  const id = Number(text)
  return PRODUCT_ID.test(text) && Number.isSafeInteger(id) ? id : null
}
