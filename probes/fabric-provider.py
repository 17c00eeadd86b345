# Lists libfabric's providers. Input: {"provider": "efa"}

import shutil
import subprocess

provider = INPUT["provider"]
# The EFA installer puts its tools here and on the PATH of login shells only.
path = os.environ.get("PATH", "") + ":/opt/amazon/efa/bin"
tool = shutil.which("fi_info", path=path)
if tool is None:
    failed("fi_info is not in the image", "libfabric's tools are missing (Debian: libfabric-bin; EFA installer: libfabric-aws-bin)")
listing = subprocess.run([tool, "-l"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
output = listing.stdout.decode("utf-8", "replace")
if listing.returncode != 0:
    failed("%s -l ended with status %d: %s" % (tool, listing.returncode, listing.stderr.decode("utf-8", "replace").strip()[-400:]))
# Providers stand at the start of a line with a colon, their versions indented below.
providers, current = {}, None
for line in output.splitlines():
    if line and not line[0].isspace() and line.rstrip().endswith(":"):
        current = line.rstrip()[:-1]
        providers[current] = ""
    elif current is not None and "version:" in line:
        providers[current] = line.split(":", 1)[1].strip()
if provider not in providers:
    failed("%s lists %s, not %s" % (tool, ", ".join(providers) or "nothing", provider),
           "this libfabric was built without the provider %s, or another libfabric comes first on the path" % provider)
passed("%s lists %s %s" % (tool, provider, providers[provider]))
