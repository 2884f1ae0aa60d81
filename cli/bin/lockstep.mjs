#!/usr/bin/env node
// Starts the command line on the project's own Node 24, whatever Node runs this file.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.env.INIT_CWD ??= process.cwd()
process.argv.splice(2, 0, 'cli/src/main.ts')
await import(join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'scripts', 'run.mjs'))
