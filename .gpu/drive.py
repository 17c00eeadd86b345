"""Runs probes by the runner without smp-image. drive.py FOLDER GPU LIMIT NAME[=JSON]..."""
import json, subprocess, sys, os, time
folder, gpu, limit = sys.argv[1], sys.argv[2] == "1", float(sys.argv[3])
PRE={"imports":["stub"],"libraries":["stub"],"nccl-version":["load"],"loaded":["load"],"gpu-context":["load","cuda"],"gpu-kernel":["load","cuda"],"gpu-speed":["load","cuda"],
"nccl-one-rank":["load","cuda"],"gpu-peers":["load","cuda"],"nccl-collectives":["load","cuda","collectives"],"nccl-network":["load","cuda","collectives"],
"torch-train":["training"],"transformer-engine":["training"],"flash-attention":["training"],"fabric-provider":[]}
read=lambda n: open(os.path.join(folder,n)).read()
probes=[]
for i,a in enumerate(sys.argv[4:]):
    n,_,inp=a.partition("=")
    code=[read("answer.py")]
    for p in PRE[n]:
        if p=="stub": code.append("DRIVER_FUNCTIONS = %r.split()"%read("driver-functions.txt"))
        code.append(read(p+".py"))
    probes.append({"id":i,"code":"\n".join(code+[read(n+".py")]),"input":json.loads(inp or "{}"),"limit":limit})
M="\x1eM:"
r=subprocess.run([sys.executable,"-c",read("runner.py")],input=(json.dumps({"mark":M,"gpu":gpu,"probes":probes})+"\n").encode(),stdout=subprocess.PIPE)
for part in r.stdout.decode("utf-8","replace").split(M)[1:]:
    d=json.loads(part.split("\n")[0]); a=d["answer"]
    print(sys.argv[4+d["id"]].partition("=")[0], "%.1fs"%d["took"], a["status"], a.get("evidence"), "|", a.get("cause",""), a.get("reason",""), a.get("warnings",""))
    for t in a.get("tail",[]): print("     |", t[:300])
