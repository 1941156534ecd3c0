"""Which tensors of the files a network's parameters are made from, by transformers' own rules, and the way back.

Files name, split and lay out weights as their authors did; transformers renames, stacks and transposes them while it
loads. Here the same rules are followed for single parameters, in both directions: an edited parameter becomes again the
tensors that the files hold. What cannot be followed so is refused with a reason, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from heretic_tui.engine.checkpoint.opened import Held
from heretic_tui.errors import one_line


class NotInvertible(Exception):
    """A parameter cannot be made into the tensors of the files again; the text says why, as part of a sentence."""


class _Transform(Protocol):
    """A rule of transformers, as far as it is used here."""

    target_patterns: list[str]

    def rename_source_key(self, source_key: str) -> tuple[str, str | None]: ...

    def add_tensor(self, target_key: str, source_key: str, source_pattern: str, future: Tensor) -> None: ...

    def convert(self, layer_name: str, model: object, config: object) -> dict[str, Tensor | list[Tensor]]: ...

    def reverse_transform(self) -> _Transform: ...


@dataclass(frozen=True)
class Origin:
    """Parameters of a network, and the tensors of the files that they are made from, all of them together.

    Attributes:
        sources: names in the files.
        parameters: names in the network.
        kind: the same for origins that are converted alike; None where a tensor is a parameter as it is.
        stacked: whether the sources are the matrices of one parameter, one after the other.
        alone: whether the source is one of such matrices, and the parameter a stack of that one, twice: for a stack of
            one BLAS computes in another order than for several, and sums differ in their last bits.
    """

    sources: tuple[str, ...]
    parameters: tuple[str, ...]
    kind: str | None
    _forward: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    _back: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    stacked: bool = False
    alone: bool = False

    def to_parameters(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The parameters by name, from the tensors by name. They may share memory."""
        return self._forward(tensors)

    def to_sources(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of the files by name, from the parameters by name. They may share memory."""
        return self._back(parameters)

    def apart(self) -> list[Origin]:
        """Of a stacked origin one for each source."""
        (parameter,) = self.parameters

        def alone(source: str) -> Origin:
            return Origin(
                (source,),
                (parameter,),
                self.kind,
                lambda found: {parameter: torch.stack([found[source]] * 2)},
                lambda changed: {source: changed[parameter][0]},
                alone=True,
            )

        return [alone(source) for source in self.sources]


def origins_of(network: PreTrainedModel, tensors: Mapping[str, Held], wanted: Collection[str]) -> list[Origin]:
    """The origins of some parameters, each once, in the order of the files' names.

    Args:
        network: may be on the meta device.
        tensors: all that the files hold.
        wanted: names of parameters.

    Raises:
        NotInvertible: where one of them is made from the files in a way that cannot be gone back.
    """
    try:
        return _origins_of(network, tensors, wanted)
    except NotInvertible:
        raise
    except Exception as error:
        # Rules differ between versions of transformers, and some can only be followed while a model is loaded.
        raise NotInvertible(f"transformers' rules for its weights cannot be followed ({one_line(error)})") from error


def _origins_of(network: PreTrainedModel, tensors: Mapping[str, Held], wanted: Collection[str]) -> list[Origin]:
    rules = _Rules(network)
    groups: dict[str, list[tuple[str, str | None]]] = {}
    for name in rules.in_order(tensors):
        target, pattern = rules.renamed(name)
        groups.setdefault(target, []).append((name, pattern))
    # One parameter may have several names.
    identities = {name: id(each) for name, each in network.named_parameters(remove_duplicate=False)}
    missing = {identities[name]: name for name in wanted}
    found: list[Origin] = []
    for target, members in groups.items():
        made = {target}
        pattern = members[0][1]
        if pattern is not None and rules.has_several_targets(pattern):
            made |= set(rules.targets(target, members, tensors))
        known = {identities[name] for name in made & identities.keys()}
        if not known & {identities[name] for name in wanted}:
            continue
        if twice := [name for name in wanted if identities[name] in known - set(missing)]:
            raise NotInvertible(f"{twice[0]} is in the weights under several names")
        for each in known:
            missing.pop(each, None)
        found.append(rules.origin(target, members, tensors))
    if missing:
        raise NotInvertible(f"{min(missing.values())} is not in the weights under a name that is known")
    return found


class _Rules:
    """transformers' rules for one network."""

    def __init__(self, network: PreTrainedModel) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

        mapping = get_model_conversion_mapping(network)
        self._network = network
        self._key, self._rename = dot_natural_key, rename_source_key
        self._renamings = [rule for rule in mapping if isinstance(rule, WeightRenaming)]
        self._converters = [rule for rule in mapping if isinstance(rule, WeightConverter)]
        self._by_pattern: dict[str, _Transform] = {
            pattern: cast(_Transform, rule) for rule in self._converters for pattern in rule.source_patterns
        }
        self._expected = network.state_dict()
        self._prefix = network.base_model_prefix

    def in_order(self, tensors: Mapping[str, Held]) -> list[str]:
        """Names of the files in the order in which transformers takes them: experts by their numbers."""
        return sorted(tensors, key=self._key)

    def renamed(self, name: str) -> tuple[str, str | None]:
        """The parameter (of several the first) that a tensor goes into, and the pattern by which it is converted."""
        found: tuple[str, str | None] = self._rename(
            name, self._renamings, self._converters, self._prefix, self._expected
        )
        if found[0] not in self._expected and name in self._expected:
            found = self._rename(name, [], [], self._prefix, self._expected)
        return found

    def has_several_targets(self, pattern: str) -> bool:
        return len(self._by_pattern[pattern].target_patterns) > 1

    def targets(
        self, target: str, members: list[tuple[str, str | None]], tensors: Mapping[str, Held]
    ) -> dict[str, Tensor]:
        """What a group of tensors is converted to, without contents; nothing where it cannot be."""
        try:
            return self._forward(target, members, {name: tensors[name].empty() for name, _ in members})
        except Exception:  # noqa: BLE001 - whatever an operation raises on shapes that are not the network's
            return {}

    def origin(self, target: str, members: list[tuple[str, str | None]], tensors: Mapping[str, Held]) -> Origin:
        """
        Raises:
            NotInvertible: where shapes or names do not come out, forward and back.
        """
        sources = tuple(name for name, _ in members)
        empty = {name: tensors[name].empty() for name in sources}
        pattern = members[0][1]
        if pattern is None:
            if len(sources) != 1:
                raise NotInvertible(f"{target} is in the weights under several names")
            if tensors[sources[0]].shape != tuple(self._expected[target].shape):
                raise NotInvertible(f"{sources[0]} has another shape than {target}")
            source = sources[0]
            return Origin(
                sources,
                (target,),
                None,
                lambda found: {target: found[source]},
                lambda changed: {source: changed[target]},
            )
        made = self._forward(target, members, empty)
        if unlike := [name for name, each in made.items() if each.shape != self._expected[name].shape]:
            raise NotInvertible(f"{unlike[0]} comes out of its conversion in another shape")
        back = self._back(made, sources, pattern)
        if unlike := [name for name in sources if back[name].shape != empty[name].shape]:
            raise NotInvertible(f"{unlike[0]} has another shape after its conversion is undone")
        (shape, *others) = [each.shape for each in made.values()]
        return Origin(
            sources,
            tuple(made),
            repr(self._by_pattern[pattern]),
            lambda found: self._forward(target, members, found),
            lambda changed: self._back(changed, sources, pattern),
            stacked=not others
            and len(sources) > 1
            and all(shape == (len(sources), *each.shape) for each in empty.values())
            and self._stacks(target, members),
        )

    def _stacks(self, target: str, members: list[tuple[str, str | None]]) -> bool:
        """Whether a group of tensors is put together one after the other, in their order, and nothing else is done with
        them. Looked at with rows of two numbers in their place."""
        rows = {name: torch.tensor([[at, -1.0 - at]]) for at, (name, _) in enumerate(members)}
        try:
            (stack,) = self._forward(target, members, rows).values()
        except Exception:  # noqa: BLE001 - an operation that needs tensors of the network's own shapes
            return False
        return torch.equal(stack, torch.stack(list(rows.values())))

    def _forward(
        self, target: str, members: list[tuple[str, str | None]], found: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        converter: _Transform | None = None
        for name, pattern in members:
            if pattern is None:
                raise NotInvertible(f"{target} is in the weights both whole and in parts")
            converter = converter or deepcopy(self._by_pattern[pattern])
            converter.add_tensor(target, name, pattern, found[name])
        assert converter is not None
        return self._single(converter.convert(target, model=self._network, config=self._network.config))

    def _back(self, changed: Mapping[str, Tensor], sources: tuple[str, ...], pattern: str) -> dict[str, Tensor]:
        # By the name that a tensor has in between, after it was renamed and before it was converted.
        between: dict[str, str] = {}
        for source in sources:
            name = source
            for rule in self._renamings:
                name, _ = rule.rename_source_key(name)
            between[name] = between[f"{self._prefix}.{name}"] = source
        converter = self._by_pattern[pattern].reverse_transform()
        layer = None
        for parameter, tensor in changed.items():
            renamed, part = converter.rename_source_key(parameter)
            if part is None:
                raise NotInvertible(f"the conversion of {parameter} cannot be undone")
            layer = layer or renamed
            converter.add_tensor(renamed, parameter, part, tensor)
        assert layer is not None
        made = self._single(converter.convert(layer, model=self._network, config=self._network.config))
        found = {between[name]: tensor for name, tensor in made.items() if name in between}
        if set(found) != set(sources) or len(made) != len(sources):
            raise NotInvertible(f"the conversion of {next(iter(changed))} gives other names when it is undone")
        return found

    def _single(self, converted: Mapping[str, Tensor | list[Tensor]]) -> dict[str, Tensor]:
        return {name: each[0] if isinstance(each, list) else each for name, each in converted.items()}


def prove(origin: Origin, tensors: Mapping[str, Tensor]) -> None:
    """Go forward and back with tensors of the files.

    Raises:
        NotInvertible: where they are not, bit for bit, what they were.
    """
    try:
        back = origin.to_sources(origin.to_parameters(tensors))
    except NotInvertible:
        raise
    except Exception as error:
        raise NotInvertible(f"the conversion of {origin.sources[0]} cannot be undone ({one_line(error)})") from error
    for name, tensor in tensors.items():
        if back[name].dtype != tensor.dtype or not torch.equal(_bits(back[name]), _bits(tensor)):
            raise NotInvertible(f"the conversion of {name} cannot be undone exactly")


def _bits(tensor: Tensor) -> Tensor:
    """So that NaN is equal to itself."""
    return tensor.contiguous().view(torch.uint8)
