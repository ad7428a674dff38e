module homelab/links

go 1.19
