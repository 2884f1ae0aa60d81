import type { Accounts } from './login-routes.ts'
import { hashPassword } from './password.ts'

const ADMIN = 'admin'

/**
 * Adds the account `admin`, whose password is the operator's setting and not in the database; with an empty one nobody logs
 * in by that name. A row of that name counts for nothing, so nobody becomes admin by signing up first.
 */
export function withAdmin(accounts: Accounts, password: string): Accounts {
  const hash = password === '' ? null : hashPassword(password)
  return {
    find: async (name) => {
      if (name !== ADMIN) return accounts.find(name)
      return hash && { subject: ADMIN, role: 'admin', passwordHash: await hash }
    },
    create: (name, passwordHash) => (name === ADMIN ? Promise.resolve(false) : accounts.create(name, passwordHash)),
  }
}
