import type { EventLog } from '@lockstep/runtime'
import type { ModelReader } from './bestsellers/read-model.ts'
import { bestsellerRoutes } from './bestsellers/routes.ts'
import { cartRoutes } from './carts/routes.ts'
import type { ModuleDeps, ShopModule } from './modules.ts'
import { orderRoutes } from './orders/routes.ts'
import { priceRoutes } from './prices/routes.ts'
import { reviewRoutes } from './reviews/routes.ts'
import { searchRoutes } from './search/routes.ts'
import { stockRoutes } from './stock/routes.ts'
import { viewRoutes } from './view-counters/routes.ts'

/** Puts together every pattern that has routes of its own. */
export function modulesOf(deps: ModuleDeps & { readonly log: EventLog; readonly model: ModelReader }): ShopModule[] {
  const all = [
    reviewRoutes,
    priceRoutes,
    stockRoutes,
    searchRoutes,
    cartRoutes,
    orderRoutes,
    viewRoutes,
    bestsellerRoutes,
  ]
  return all.map((routesOf) => routesOf(deps))
}
