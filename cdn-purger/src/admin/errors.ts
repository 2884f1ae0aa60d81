import { defineErrors, type ErrorRow } from '@lockstep/runtime'

/** An error of the admin API: what it says, and the HTTP status it is said with. */
export interface AdminErrorRow extends ErrorRow {
  readonly status: number
}

const row = (status: number, message: string, remedy: string): AdminErrorRow => ({
  disposition: status >= 500 ? 'transient' : 'poison',
  status,
  message,
  remedy,
})

/** Errors of the admin API: code → status, message, what the caller does. */
export const ADMIN_ERRORS = {
  LOCKSTEP_CDN_BAD_REQUEST: row(400, 'the request does not fit: {detail}', 'Compare it with the OpenAPI document.'),
  LOCKSTEP_CDN_IDEMPOTENCY_KEY_REQUIRED: row(
    400,
    'the Idempotency-Key header is missing',
    'Send one of your own choosing, and the same one when you try again.',
  ),
  LOCKSTEP_CDN_UNAUTHENTICATED: row(401, 'no token, or one that is not known', 'Send Authorization: Bearer TOKEN.'),
  LOCKSTEP_CDN_FORBIDDEN: row(403, 'this needs the role {needed}', 'Ask somebody who has that role.'),
  LOCKSTEP_CDN_SECOND_PERSON: row(
    403,
    'who asks for a purge of everything may not confirm it',
    'Ask another administrator.',
  ),
  LOCKSTEP_CDN_NOT_FOUND: row(404, 'there is nothing at this address', 'Look at the list it should be in.'),
  LOCKSTEP_CDN_METHOD_NOT_ALLOWED: row(405, 'this address does not know the method', 'Use one that Allow names.'),
  LOCKSTEP_CDN_WRONG_STATE: row(409, 'the {kind} is {state}', 'Look at it again before you change it.'),
  LOCKSTEP_CDN_CONFIRM_INVALID: row(
    412,
    'the confirm token has expired, or was made for another selection',
    'Ask for a dry run again, look at its figures and send its token.',
  ),
  LOCKSTEP_CDN_BODY_TOO_LARGE: row(413, 'the body is too large', 'Split the request, or use a class or a prefix.'),
  LOCKSTEP_CDN_UNSUPPORTED_MEDIA: row(415, 'the body is not JSON', 'Send Content-Type: application/json.'),
  LOCKSTEP_CDN_BAD_TAG: row(422, 'not a tag: {detail}', 'Tags are class:rest, without control characters.'),
  LOCKSTEP_CDN_BAD_RANGE: row(422, 'not a range: {detail}', 'Mend the range.'),
  LOCKSTEP_CDN_EMPTY_SELECTION: row(
    422,
    'the journal holds nothing that fits the selection',
    'Widen it; a dry run tells what it selects.',
  ),
  LOCKSTEP_CDN_SELECTION_TOO_LARGE: row(
    422,
    'the selection holds more than {max} distinct keys',
    'Narrow it, or purge classes.',
  ),
  LOCKSTEP_CDN_IDEMPOTENCY_REUSED: row(
    422,
    'the Idempotency-Key was used for another request',
    'Take a new key for a new request.',
  ),
  LOCKSTEP_CDN_CONFIRM_REQUIRED: row(
    428,
    '{keys} keys are more than the {limit} that go without confirmation',
    'Ask for a dry run, look at its figures and send its confirmToken.',
  ),
  LOCKSTEP_CDN_RATE_LIMITED: row(429, 'too many requests', 'Wait as long as Retry-After says.'),
  LOCKSTEP_CDN_ADMIN_FAILED: row(500, 'the request failed', 'Look at the log of the purger.'),
  LOCKSTEP_CDN_JOURNAL_AWAY: row(
    503,
    'the journal or the identity provider does not answer; nothing was done',
    'Try again; look at its database.',
  ),
} as const satisfies Record<`LOCKSTEP_CDN_${string}`, AdminErrorRow>

/** A code of the admin API. */
export type AdminCode = keyof typeof ADMIN_ERRORS

/** Makes an error of the admin API. */
export const refuse = defineErrors('cdn-purger', ADMIN_ERRORS)
