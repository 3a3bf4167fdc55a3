"""What every change of a delivery writes beside it: a line of the Task Log, the end of its task."""

from __future__ import annotations

from typing import Final

OPEN_AFTER_SECONDS: Final = 60.0
"""So long after its end a task is joined by what comes late."""

EVENT: Final = (
    "INSERT INTO event (at, task_id, delivery_id, kind, message, status) VALUES (?, ?, ?, ?, ?, ?)"
)
END_TASK: Final = """
UPDATE task SET last_modified_at = ?1, ended_at = iif(
  EXISTS (SELECT 1 FROM delivery d WHERE d.task_id = task.task_id
          AND d.state IN ('queued', 'sending', 'sent')), NULL, ?1)
WHERE task_id = ?2
"""
