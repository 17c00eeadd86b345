"""Asks an ECR API for its password as `aws ecr get-login-password` does; prints it and writes the htpasswd file that accepts it.

usage: ecr_password.py ENDPOINT HTPASSWD_FILE
"""

import base64
import json
import sys
import urllib.request
from pathlib import Path

import bcrypt


def login(endpoint: str) -> "tuple[str, str]":
    """Returns user and password. The signature is a stand-in: moto reads only which service and region it names."""
    request = urllib.request.Request(
        endpoint,
        data=b"{}",
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            "Authorization": "AWS4-HMAC-SHA256 Credential=workbench/20200101/us-west-2/ecr/aws4_request, SignedHeaders=host, Signature=0",
        },
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        token = json.load(answer)["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return user, password


if __name__ == "__main__":
    user, password = login(sys.argv[1])
    # Cost 5: the registry checks the password with every request, and nothing here is secret.
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(5)).decode()
    Path(sys.argv[2]).write_text(f"{user}:{hashed}\n")
    print(password)
