-- wrk script: posts one image as multipart field `file`. FERROTYPE_IMAGE names the file.
local path = os.getenv("FERROTYPE_IMAGE")
local handle = assert(io.open(path, "rb"))
local image = handle:read("*a")
handle:close()
local boundary = "----ferrotype-bench"
wrk.method = "POST"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=" .. boundary
wrk.body = "--" .. boundary .. "\r\n"
  .. 'Content-Disposition: form-data; name="file"; filename="image"\r\n'
  .. "Content-Type: application/octet-stream\r\n\r\n"
  .. image .. "\r\n--" .. boundary .. "--\r\n"

done = function(summary, latency, requests)
  io.write(string.format("RESULT %.1f %.2f %.2f %d\n",
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.timeout + summary.errors.read + summary.errors.connect))
end
