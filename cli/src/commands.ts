import type { Command } from './help.ts'

/** Every command: what it is for, and where it is. Loaded on demand, so that a service loads only its own room. */
export const COMMANDS = {
  demo: {
    summary: 'Runs everything on this machine, embedded: Postgres, Redis, edge, two API processes, load, live view',
    load: async (): Promise<Command> => (await import('./commands/demo.ts')).command,
  },
  dev: {
    summary: 'Keeps the caches of one database in step: the whole pipeline in one process',
    load: async (): Promise<Command> => (await import('./commands/dev.ts')).command,
  },
  doctor: {
    summary: 'Checks a database against the rules and prints what is missing, with the SQL that mends it',
    load: async (): Promise<Command> => (await import('./commands/doctor.ts')).command,
  },
  connector: {
    summary: 'Reads the replication stream and publishes changes, watermarks and generations',
    load: async (): Promise<Command> => (await import('./commands/connector.ts')).command,
  },
  invalidator: {
    summary: 'Applies changes to Redis and the bus, and sends purge commands',
    load: async (): Promise<Command> => (await import('./commands/invalidator.ts')).command,
  },
  'cdn-purger': {
    summary: 'Purges the edge behind a barrier, tier by tier, with rebounds',
    load: async (): Promise<Command> => (await import('./commands/cdn-purger.ts')).command,
  },
  replay: {
    summary: 'Purges again what the journal holds of a range, a class or the dead letters, and shows the progress',
    load: async (): Promise<Command> => (await import('./commands/replay.ts')).command,
  },
  purge: {
    summary: 'Purges tags, a class or everything by hand; verifies what the tiers serve; makes API tokens',
    load: async (): Promise<Command> => (await import('./commands/purge.ts')).command,
  },
  journal: {
    summary: 'Shows what became of purges, the dead letters and the providers',
    load: async (): Promise<Command> => (await import('./commands/journal.ts')).command,
  },
  'shop-worker': {
    summary: 'Works for the demo shop: counts views, decides orders, projects the bestsellers',
    load: async (): Promise<Command> => (await import('./commands/shop-worker.ts')).command,
  },
  'shop-seed': {
    summary: 'Makes and fills the tables of the demo shop, in one of three sizes',
    load: async (): Promise<Command> => (await import('./commands/shop-seed.ts')).command,
  },
  'shop-rebuild': {
    summary: 'Builds the read model of the bestsellers anew from the database, while everything runs',
    load: async (): Promise<Command> => (await import('./commands/shop-rebuild.ts')).command,
  },
  api: {
    summary: 'The demo shop',
    load: async (): Promise<Command> => (await import('./commands/api.ts')).command,
  },
} as const

/** The name of a command. */
export type CommandName = keyof typeof COMMANDS
