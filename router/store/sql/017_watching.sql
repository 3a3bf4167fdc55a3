-- What is open or failed, without a look at what is over: for metrics and `top`.

CREATE INDEX task_open ON task (task_id) WHERE ended_at IS NULL;
CREATE INDEX delivery_failed ON delivery (task_id, instance_id) WHERE state IN ('dead', 'quarantined');
