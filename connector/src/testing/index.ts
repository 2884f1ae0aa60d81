export { waitFor } from '@lockstep/runtime/testing'
