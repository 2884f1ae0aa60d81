import { afterEach, beforeEach, describe } from 'vitest'
import { registerBus } from './store-contract/bus.ts'
import { registerClaims } from './store-contract/claims.ts'
import { registerFills } from './store-contract/fills.ts'
import type { StoreFixture } from './store-contract/fixture.ts'
import { registerFullServer } from './store-contract/full-server.ts'
import { registerGenerations } from './store-contract/generations.ts'
import { registerInvalidation } from './store-contract/invalidation.ts'
import { registerPositions } from './store-contract/positions.ts'

export { raise, stampAt, type StoreFixture } from './store-contract/fixture.ts'

/** Registers the laws that every store and fence writer keeps; run it on each adapter. */
export function registerStoreContract(name: string, create: () => Promise<StoreFixture>): void {
  describe(`cache/store contract: ${name}`, () => {
    let fixture: StoreFixture
    beforeEach(async () => {
      fixture = await create()
    })
    afterEach(() => fixture.close())
    const given = (): StoreFixture => fixture
    registerInvalidation(given)
    registerFills(given)
    registerClaims(given)
    registerPositions(given)
    registerGenerations(given)
    registerBus(given)
    registerFullServer(given)
  })
}
