module kfdet-cluster/pause

go 1.26.0
