"""The base of every lowering pass: one rewrite, applied to each node of a graph in order."""

from abc import ABC, abstractmethod

import onnx_ir as ir


class LoweringPass(ir.passes.InPlacePass, ABC):
    """Visits every node once, front to back; a node that is inserted while visiting is not visited again."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite ``model`` in place."""
        modified = False
        for node in list(model.graph):
            if node.graph is not None:
                modified |= self.visit(node)
        return ir.passes.PassResult(model, modified)

    @abstractmethod
    def visit(self, node: ir.Node) -> bool:
        """Rewrite around ``node``; return whether anything changed."""
