-- wrk: posts the body in $BODY with the key in $KEY; each "@ID@" in it becomes an id never used before in this run.
local file = io.open(os.getenv("BODY"), "rb")
local body = file:read("*a")
file:close()
local run = os.getenv("RUN")
local unique = body:find("@ID@", 1, true) ~= nil
local count = 0
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("KEY")
wrk.headers["Content-Type"] = "application/json"
wrk.body = body
if unique then
  local thread = 0
  function setup(t) t:set("thread", thread); thread = thread + 1 end
  function request()
    local made = body:gsub("@ID@", function() count = count + 1; return run .. "-" .. (thread or 0) .. "-" .. count end)
    return wrk.format(nil, nil, nil, made)
  end
end
function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
