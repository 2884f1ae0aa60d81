/** Quotes `schema.table` for SQL. */
export function quoteTable(table: string): string {
  const dot = table.indexOf('.')
  return [table.slice(0, dot), table.slice(dot + 1)].map(quoteName).join('.')
}

/** Quotes one name for SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Quotes a text for SQL. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
