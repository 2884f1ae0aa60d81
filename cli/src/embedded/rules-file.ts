import { readFile } from 'node:fs/promises'
import { parseRules, type RuleSet } from '@lockstep/schemas'
import { fail } from '../errors.ts'

/** Reads and compiles a rules file. @throws LockstepError when it cannot be read, RulesError naming every fault in it. */
export async function readRules(path: string): Promise<RuleSet> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw fail('LOCKSTEP_CLI_RULES_UNREADABLE', { path }, cause)
  }
  return parseRules(text)
}
