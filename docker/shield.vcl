vcl 4.1;

import std;
import xkey;

backend origin {
  .host = "balancer";
  .port = "3000";
}

acl purgers {
  "10.213.77.0"/28;
}

sub vcl_recv {
  # A field of a client must never name or purge tags.
  unset req.http.xkey;
  unset req.http.X-HashTwo;
  unset req.http.n-gone;

  if (req.method == "PURGEKEYS" || req.method == "SOFTPURGEKEYS" || req.method == "PURGEALL") {
    if (client.ip !~ purgers) { return (synth(403, "Forbidden")); }
    # An unset variable equals no field, not even a missing one.
    if (!std.getenv("LOCKSTEP_PURGE_TOKEN") || std.getenv("LOCKSTEP_PURGE_TOKEN") == "" || req.http.X-Purge-Token != std.getenv("LOCKSTEP_PURGE_TOKEN")) { return (synth(401, "Unauthorized")); }
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

sub vcl_recv {
  # One name for one request, here and behind: its own where it is well formed. Two lines are no name.
  std.collect(req.http.X-Request-Id);
  if (req.http.X-Request-Id !~ "^[A-Za-z0-9_.~-]{1,128}$") {
    set req.http.X-Request-Id = "lockstep-shield." + std.time2real(now, 0.0) + "." + req.xid;
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
  if (beresp.http.Vary ~ "\*" || beresp.http.Set-Cookie || beresp.status >= 500) {
    call lockstep_uncacheable;
  }
  # A dictionary of structured fields (RFC 8941), or none at all; what forbids storing counts however it is written.
  elsif (beresp.http.CDN-Cache-Control ~ {"^ *[a-z*][a-z0-9_.*-]*(?:=(?:-?\d+(?:[.]\d+)?|"[^"]*"|[A-Za-z*][^ ,;"()=]*|:[A-Za-z0-9+/=]*:|[?][01]))?(?:; *[a-z*][a-z0-9_.*-]*(?:=(?:-?\d+(?:[.]\d+)?|"[^"]*"|[A-Za-z*][^ ,;"()=]*|:[A-Za-z0-9+/=]*:|[?][01]))?)*(?:[ 	]*,[ 	]*[a-z*][a-z0-9_.*-]*(?:=(?:-?\d+(?:[.]\d+)?|"[^"]*"|[A-Za-z*][^ ,;"()=]*|:[A-Za-z0-9+/=]*:|[?][01]))?(?:; *[a-z*][a-z0-9_.*-]*(?:=(?:-?\d+(?:[.]\d+)?|"[^"]*"|[A-Za-z*][^ ,;"()=]*|:[A-Za-z0-9+/=]*:|[?][01]))?)*)* *$"}
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
      regsub(beresp.http.CDN-Cache-Control, "(?i).*(^|[ ,])max-age=([0-9]+).*", "\2") + "s", 0s);
    if (beresp.http.Age) { set beresp.ttl = beresp.ttl - std.duration(beresp.http.Age + "s", 0s); }
    if (beresp.http.CDN-Cache-Control ~ "(?i)(^|[ ,])stale-while-revalidate=[0-9]+"
        && beresp.http.CDN-Cache-Control !~ "(?i)(must-revalidate|proxy-revalidate)") {
      set beresp.grace = std.duration(
        regsub(beresp.http.CDN-Cache-Control, "(?i).*(^|[ ,])stale-while-revalidate=([0-9]+).*", "\2") + "s", 0s);
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
      regsub(beresp.http.Cache-Control, "(?i).*(^|[ ,])stale-while-revalidate=([0-9]+).*", "\2") + "s", 0s);
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
  set req.http.n-status = "lockstep-shield; hit; ttl=" + regsub("" + obj.ttl, "[.].*", "");
  if (req.http.n-fwd) {
    set req.http.n-status = "lockstep-shield; fwd=" + req.http.n-fwd;
    if (req.http.n-fwd == "miss" && !obj.uncacheable) { set req.http.n-status = req.http.n-status + "; stored"; }
  }
  if (resp.http.Cache-Status) { set resp.http.Cache-Status = resp.http.Cache-Status + ", " + req.http.n-status; }
  else { set resp.http.Cache-Status = req.http.n-status; }
  unset resp.http.xkey;
}
