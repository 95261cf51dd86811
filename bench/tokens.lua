-- A wrk script that sends POST /token for one user after the other.
-- Its argument is a file with one bearer token per line. It prints a line of figures that `bench load` parses.

local tokens = {}
local next_token = 0

function init(arguments)
  for token in io.lines(arguments[1]) do
    tokens[#tokens + 1] = token
  end
end

function request()
  next_token = next_token % #tokens + 1
  return wrk.format("POST", nil, { authorization = "Bearer " .. tokens[next_token] })
end

-- Times are in microseconds. A status of 400 or above counts as an error.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "figures %d %d %d %d %d %d %d\n",
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
