-- For wrk: asks for the front page; one request in PASSED, if it is set, as somebody who has logged in. At
-- the end it prints: seconds, answers, those of them that are bad, failed connections, and the median and the
-- 99th percentile in ms.
local passed = tonumber(os.getenv("PASSED") or "0")
local host = os.getenv("SITE")
local count = 0

function request()
    count = count + 1
    if passed > 0 and count % passed == 0 then
        return wrk.format("GET", "/", { Host = host, Cookie = "wordpress_logged_in_x=nobody" })
    end
    return wrk.format("GET", "/", { Host = host })
end

function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format("figures %.6f %d %d %d %.3f %.3f\n", summary.duration / 1e6, summary.requests,
        errors.status, failed, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
