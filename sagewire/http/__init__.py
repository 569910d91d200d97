"""HTTP/1.1 without anything of AWS: a sync engine on urllib3, an async engine on aiohttp, and their deadlines."""
