/** Topics of the shop's own work; a Kafka log prefixes them with the namespace. Two partitions let two workers share each. */
export const SHOP_TOPICS = {
  views: 'shop-views',
  orders: 'shop-orders',
  deadLetters: 'shop-dead-letters',
} as const

/** How many partitions the shop's topics have. */
export const SHOP_PARTITIONS: Readonly<Record<string, number>> = {
  [SHOP_TOPICS.views]: 2,
  [SHOP_TOPICS.orders]: 2,
  [SHOP_TOPICS.deadLetters]: 1,
}
