"""How far all tasks together have come, stage by stage."""

from ...store.progress import tell


class Stages:
    """What the tasks of a run have told of their progress, added up.

    A task that has not told of a stage yet is taken to have as much to do there as those that have, on
    average; when it has ended, it is known.
    """

    def __init__(self, tasks: int):
        self._told: list[dict[str, tuple[int, int]]] = [{} for _ in range(tasks)]
        self._has_ended = [False] * tasks

    def hear(self, task: int, stage: str, done: int, total: int) -> None:
        """Remember how much of a stage a task has done, and tell of all."""
        self._told[task][stage] = (done, total)
        self._tell(stage)

    def begin_again(self, task: int) -> None:
        """Forget what a task has told that starts from its beginning."""
        self._told[task].clear()

    def end(self, task: int) -> None:
        """A task tells nothing more."""
        self._has_ended[task] = True
        for stage in dict.fromkeys(stage for told in self._told for stage in told):
            self._tell(stage)

    def _tell(self, stage: str) -> None:
        known = [told[stage] for told in self._told if stage in told]
        done, total = sum(one for one, _ in known), sum(of for _, of in known)
        silent = sum(
            stage not in told and not ended for told, ended in zip(self._told, self._has_ended, strict=True)
        )
        if known and total:
            total += total * silent // len(known)
        tell(stage, done, total)
