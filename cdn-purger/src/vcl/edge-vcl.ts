/** What the VCL is made for. */
export interface EdgeVclOptions {
  /** The origin, or the next tier towards it. */
  readonly backendHost: string
  readonly backendPort: number
  /** Addresses or networks (`10.0.0.0/8`) that may purge. Default: this machine. */
  readonly purgers?: readonly string[] | undefined
  /** Name of the variable in varnishd's environment that holds the purge token. Unset: nobody may purge. */
  readonly tokenEnv?: string | undefined
  /** How this tier names itself in `Cache-Status`. Default `lockstep-edge`. */
  readonly name?: string | undefined
}

const HOST = /^[A-Za-z0-9.:_-]+$/
const NETWORK = /^[0-9A-Fa-f.:]+(\/\d{1,3})?$/
const ENV_NAME = /^[A-Z_][A-Z0-9_]*$/
const TIER_NAME = /^[a-z][a-z0-9-]*$/

function acl(networks: readonly string[]): string {
  const lines = networks.map((network) => {
    if (!NETWORK.test(network)) throw new RangeError(`not an address or network: ${network}`)
    const [address, bits] = network.split('/')
    return `  "${address}"${bits === undefined ? '' : `/${bits}`};`
  })
  return `acl purgers {\n${lines.join('\n')}\n}`
}

/**
 * Writes VCL 4.1 for Varnish 6 and 7 with varnish-modules (xkey): purge by surrogate key, CDN-Cache-Control, and nothing
 * private in the store.
 * @throws RangeError for a host, network or variable name that could break out of its place.
 */
export function edgeVcl(options: EdgeVclOptions): string {
  const { backendHost, backendPort, purgers = ['127.0.0.1', '::1'], tokenEnv = 'LOCKSTEP_PURGE_TOKEN' } = options
  const { name = 'lockstep-edge' } = options
  if (!HOST.test(backendHost)) throw new RangeError(`not a host: ${backendHost}`)
  if (!Number.isInteger(backendPort) || backendPort < 1 || backendPort > 65_535) throw new RangeError('not a port')
  if (!ENV_NAME.test(tokenEnv)) throw new RangeError(`not a variable name: ${tokenEnv}`)
  if (!TIER_NAME.test(name)) throw new RangeError(`not a name for a tier: ${name}`)
  const head = `vcl 4.1;

import std;
import xkey;

backend origin {
  .host = "${backendHost}";
  .port = "${backendPort}";
}

${acl(purgers)}
`
  return (
    head +
    PURGE_VCL.replaceAll('@TOKEN@', `std.getenv("${tokenEnv}")`) +
    CACHE_VCL.replaceAll('@NAME@', name)
      .replace('@REQUEST_ID@', () => REQUEST_ID)
      .replace('@DICTIONARY@', () => DICTIONARY)
  )
}

// RFC 8941: keys in lower case; numbers, strings, tokens, byte sequences or booleans; parameters.
const ITEM = String.raw`(?:-?\d+(?:[.]\d+)?|"[^"]*"|[A-Za-z*][^ ,;"()=]*|:[A-Za-z0-9+/=]*:|[?][01])`
const KEY = '[a-z*][a-z0-9_.*-]*'
const MEMBER = `${KEY}(?:=${ITEM})?(?:; *${KEY}(?:=${ITEM})?)*`
const DICTIONARY = `^ *${MEMBER}(?:[ \t]*,[ \t]*${MEMBER})* *$`

const PURGE_VCL = `
sub vcl_recv {
  # A field of a client must never name or purge tags.
  unset req.http.xkey;
  unset req.http.X-HashTwo;
  unset req.http.n-gone;

  if (req.method == "PURGEKEYS" || req.method == "SOFTPURGEKEYS" || req.method == "PURGEALL") {
    if (client.ip !~ purgers) { return (synth(403, "Forbidden")); }
    # An unset variable equals no field, not even a missing one.
    if (!@TOKEN@ || @TOKEN@ == "" || req.http.X-Purge-Token != @TOKEN@) { return (synth(401, "Unauthorized")); }
    if (req.method == "PURGEALL") {
      ban("obj.status != 0");
      return (synth(200, "Purged"));
    }
    # Without this, every line but the first would be ignored.
    std.collect(req.http.X-Purge-Keys, " ");
    if (!req.http.X-Purge-Keys) { return (synth(400, "No keys")); }
    if (req.method == "SOFTPURGEKEYS") { set req.http.n-gone = xkey.softpurge(req.http.X-Purge-Keys); }
    else { set req.http.n-gone = xkey.purge(req.http.X-Purge-Keys); }
    return (synth(200, "Purged"));
  }
  unset req.http.X-Purge-Token;
  unset req.http.X-Purge-Keys;
}

sub vcl_synth {
  if (req.method == "PURGEKEYS" || req.method == "SOFTPURGEKEYS") {
    set resp.http.Content-Type = "application/json";
    if (req.http.n-gone) { synthetic({"{"purged": "} + req.http.n-gone + {"}"}); }
    else { synthetic({"{"purged": 0}"}); }
    return (deliver);
  }
}
`

// As the API judges them (api/src/request-identity.ts): else one request would have two names.
const REQUEST_ID = '^[A-Za-z0-9_.~-]{1,128}$'

const CACHE_VCL = `
sub vcl_recv {
  # One name for one request, here and behind: its own where it is well formed. Two lines are no name.
  std.collect(req.http.X-Request-Id);
  if (req.http.X-Request-Id !~ "@REQUEST_ID@") {
    set req.http.X-Request-Id = "@NAME@." + std.time2real(now, 0.0) + "." + req.xid;
  }
  # Why a request goes on to the origin (RFC 9211); a hit has no reason.
  set req.http.n-fwd = "method";
  # Methods that the built-in VCL would pipe.
  if (req.method !~ "^(GET|HEAD|PUT|POST|PATCH|DELETE|OPTIONS|TRACE)$") { return (pass); }
  if (req.method != "GET" && req.method != "HEAD") { return (pass); }
  # Private or read-your-writes: the answer may differ from everybody's.
  set req.http.n-fwd = "bypass";
  if (req.http.Authorization || req.http.Cookie || req.http.Lockstep-Token) { return (pass); }
  unset req.http.n-fwd;
  std.collect(req.http.Cache-Control);
  return (hash);
}

sub vcl_miss {
  if (req.http.Cache-Control ~ "(?i)(^|[ ,])only-if-cached([ ,]|$)") { return (synth(504, "Not stored")); }
  set req.http.n-fwd = "miss";
}

sub vcl_pass {
  if (!req.http.n-fwd) { set req.http.n-fwd = "miss"; }
}

sub vcl_backend_fetch {
  unset bereq.http.n-fwd;
  unset bereq.http.n-gone;
}

# Remembered for a while, so that requests for it do not queue up behind one another.
sub lockstep_uncacheable {
  set beresp.ttl = 120s;
  set beresp.grace = 0s;
  set beresp.uncacheable = true;
}

sub vcl_backend_response {
  # A 304 merges into the stored fields: without new tags the old xkey stays.
  if (beresp.http.Surrogate-Key) { set beresp.http.xkey = beresp.http.Surrogate-Key; }
  if (beresp.http.xkey !~ "u:http") {
    set beresp.http.xkey = beresp.http.xkey + " u:http://" + bereq.http.host + regsuball(bereq.url, ",", "%2C");
  }
  # Stale only where the origin asks for it.
  set beresp.grace = 0s;
  # Long enough to revalidate instead of fetching whole bodies.
  set beresp.keep = 300s;
  # Lines of one field are one list.
  std.collect(beresp.http.CDN-Cache-Control);
  # No heuristics: without explicit freshness nothing is stored.
  if (beresp.http.Vary ~ "\\*" || beresp.http.Set-Cookie || beresp.status >= 500) {
    call lockstep_uncacheable;
  }
  # A dictionary of structured fields (RFC 8941), or none at all; what forbids storing counts however it is written.
  elsif (beresp.http.CDN-Cache-Control ~ {"@DICTIONARY@"}
      || beresp.http.CDN-Cache-Control ~ "(?i)(^|[ ,])(no-store|private|no-cache)([ ,;=]|$)") {
    call lockstep_targeted;
  }
  else { call lockstep_general; }
  if (beresp.ttl <= 0s) { set beresp.grace = 0s; }
  return (deliver);
}

# CDN-Cache-Control replaces Cache-Control here (RFC 9213). No heuristics: without a lifetime nothing is stored.
sub lockstep_targeted {
  if (beresp.http.CDN-Cache-Control ~ "(?i)(^|[ ,])(no-store|private|no-cache)([ ,;=]|$)"
      || beresp.http.CDN-Cache-Control !~ "(?i)(^|[ ,])max-age=[0-9]+") {
    call lockstep_uncacheable;
  }
  else {
    set beresp.ttl = std.duration(
      regsub(beresp.http.CDN-Cache-Control, "(?i).*(^|[ ,])max-age=([0-9]+).*", "\\2") + "s", 0s);
    if (beresp.http.Age) { set beresp.ttl = beresp.ttl - std.duration(beresp.http.Age + "s", 0s); }
    if (beresp.http.CDN-Cache-Control ~ "(?i)(^|[ ,])stale-while-revalidate=[0-9]+"
        && beresp.http.CDN-Cache-Control !~ "(?i)(must-revalidate|proxy-revalidate)") {
      set beresp.grace = std.duration(
        regsub(beresp.http.CDN-Cache-Control, "(?i).*(^|[ ,])stale-while-revalidate=([0-9]+).*", "\\2") + "s", 0s);
    }
  }
}

# Cache-Control and Expires, whose lifetime Varnish itself has read.
sub lockstep_general {
  if (beresp.http.Cache-Control ~ "(?i)(^|[ ,])(no-store|private|no-cache)([ ,;=]|$)"
      # An Expires that is no date has expired; Varnish would keep its default for it.
      || (beresp.http.Cache-Control !~ "(?i)(^|[ ,])(max-age|s-maxage)=[0-9]+" && beresp.http.Expires !~ " GMT$")) {
    call lockstep_uncacheable;
  }
  elsif (beresp.http.Cache-Control ~ "(?i)(^|[ ,])stale-while-revalidate=[0-9]+"
      && beresp.http.Cache-Control !~ "(?i)(s-maxage|must-revalidate|proxy-revalidate)") {
    set beresp.grace = std.duration(
      regsub(beresp.http.Cache-Control, "(?i).*(^|[ ,])stale-while-revalidate=([0-9]+).*", "\\2") + "s", 0s);
  }
}

sub vcl_synth {
  set resp.http.X-Request-Id = req.http.X-Request-Id;
}

sub vcl_deliver {
  # What is stored names the request that brought it.
  set resp.http.X-Request-Id = req.http.X-Request-Id;
  if (req.method != "GET" && req.method != "HEAD" && req.method != "OPTIONS" && req.method != "TRACE"
      && resp.status >= 200 && resp.status < 400) {
    # A successful unsafe method invalidates its target (RFC 9111 4.4).
    set req.http.n-gone = xkey.purge("u:http://" + req.http.host + regsuball(req.url, ",", "%2C"));
  }
  if (req.method != "GET" && req.method != "HEAD") { set resp.http.X-Cache = "PASS"; }
  elsif (obj.uncacheable) { set resp.http.X-Cache = "PASS"; }
  elsif (obj.hits > 0) { set resp.http.X-Cache = "HIT"; }
  else { set resp.http.X-Cache = "MISS"; }
  # Varnish compares with one ETag only.
  if (resp.http.ETag && (req.http.If-None-Match == "*"
      || std.strstr(req.http.If-None-Match, regsub(resp.http.ETag, "^W/", "")))) {
    set req.http.If-None-Match = resp.http.ETag;
  }
  # After what caches nearer to the origin have said.
  std.collect(resp.http.Cache-Status);
  set req.http.n-status = "@NAME@; hit; ttl=" + regsub("" + obj.ttl, "[.].*", "");
  if (req.http.n-fwd) {
    set req.http.n-status = "@NAME@; fwd=" + req.http.n-fwd;
    if (req.http.n-fwd == "miss" && !obj.uncacheable) { set req.http.n-status = req.http.n-status + "; stored"; }
  }
  if (resp.http.Cache-Status) { set resp.http.Cache-Status = resp.http.Cache-Status + ", " + req.http.n-status; }
  else { set resp.http.Cache-Status = req.http.n-status; }
  unset resp.http.xkey;
}
`
