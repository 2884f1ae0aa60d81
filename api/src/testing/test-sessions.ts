import type { Sessions } from '../sessions/session.ts'

/** Believes every token: it is the name of a customer, or of the admin `admin`. */
export const testSessions: Sessions = {
  issue: ({ subject }) => Promise.resolve({ token: subject, expiresInSeconds: 3_600 }),
  verify: (token) => Promise.resolve({ subject: token, role: token === 'admin' ? 'admin' : 'customer' }),
}
